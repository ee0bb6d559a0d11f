//! What can go wrong in the database, and whether trying again can help.

use deadpool_postgres::PoolError;
use tokio_postgres::error::{DbError, SqlState};

/// `DATABASE_URL` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UrlError {
    /// It is none.
    #[error("must be like postgres://user:password@host:5432/database")]
    Malformed,
    /// It asks for what we cannot do: connecting without TLS all the same would break its word.
    #[error("asks for TLS (sslmode), which is not supported yet; connect over a trusted network or a TLS proxy")]
    Tls,
}

/// A database operation failed; nothing of it remains.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No connection could be had, or it broke, or the server asks to try again.
    #[error("PostgreSQL is not available ({0})")]
    Unavailable(String),
    /// The server refuses what we ask, and would refuse it again.
    #[error("PostgreSQL refuses the statement ({0})")]
    Refused(String),
    /// The booking that Stripe's metadata names is not there, yet.
    #[error("no booking {0} (yet)")]
    UnknownBooking(uuid::Uuid),
    /// A stored fact or parameter cannot be read.
    #[error("a stored value cannot be read: {0}")]
    Corrupt(#[from] serde_json::Error),
    /// The schema could not be brought up to date.
    #[error("the migration failed: {0}")]
    Migration(String),
}

impl From<PoolError> for StoreError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) => error.into(),
            PoolError::Timeout(_) => Self::Unavailable("no connection within 5 s".to_owned()),
            PoolError::Closed | PoolError::NoRuntimeSpecified => Self::Unavailable("the pool is closed".to_owned()),
            PoolError::PostCreateHook(_) => Self::Unavailable("a new connection was refused by a hook".to_owned()),
        }
    }
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            // The server's detail may quote values, which are personal data: only its code and its names are kept.
            Some(db) if is_passing(db.code()) => Self::Unavailable(describe(db)),
            Some(db) => Self::Refused(describe(db)),
            None if error.is_closed() => Self::Unavailable("the connection was closed".to_owned()),
            None => match std::error::Error::source(&error) {
                Some(source) if source.is::<std::io::Error>() => Self::Unavailable(source.to_string()),
                Some(_) => Self::Refused("a value or an answer could not be converted".to_owned()),
                None => Self::Unavailable(error.to_string()),
            },
        }
    }
}

fn describe(db: &DbError) -> String {
    let place = db.constraint().or(db.table()).unwrap_or_default();
    format!("SQLSTATE {} {place}", db.code().code()).trim_end().to_owned()
}

/// SQLSTATE classes that pass by themselves: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn is_passing(code: &SqlState) -> bool {
    // 08 connection, 40 rollback (deadlock, serialization), 53 resources, 55 lock not available,
    // 57 operator intervention (shutdown, cancel, timeout), 58 system, 25006 a replica that is not primary yet,
    // 28 and 3D: credentials or a database that are about to exist or to be rotated; 42P01: not migrated yet.
    let class = code.code().get(..2).unwrap_or_default();
    matches!(class, "08" | "28" | "3D" | "40" | "53" | "55" | "57" | "58")
        || *code == SqlState::READ_ONLY_SQL_TRANSACTION
        || *code == SqlState::UNDEFINED_TABLE
}
