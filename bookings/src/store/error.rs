//! What can go wrong in the database, and whether trying again can help.

use std::error::Error as _;
use std::io;
use std::path::PathBuf;

use deadpool_postgres::PoolError;
use rustls::CertificateError;
use tokio_postgres::error::{DbError, SqlState};

/// `DATABASE_URL` cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It is none.
    #[error("must be like postgres://user:password@host:5432/database?sslmode=verify-full")]
    Malformed,
    /// An unknown `sslmode`.
    #[error("sslmode must be disable, prefer, require, verify-ca or verify-full")]
    Mode,
    /// Any host with a certificate of anybody's would pass.
    #[error(
        "sslmode=verify-ca and require take a certificate for whatever host, and the machine's authorities sign for \
         everybody; use sslmode=verify-full, or name an authority of your own with sslrootcert"
    )]
    WeakSystem,
    /// Nothing would be checked against it.
    #[error("sslrootcert has no effect without sslmode=verify-full (or verify-ca, require)")]
    UnusedRoot,
    /// The file that `sslrootcert` names cannot be read.
    #[error("sslrootcert: cannot read {}: {_1}", .0.display())]
    Unreadable(PathBuf, io::ErrorKind),
    /// The file that `sslrootcert` names is of no use.
    #[error("sslrootcert: {} has no PEM certificate", .0.display())]
    NoRoot(PathBuf),
    /// The machine has no certificate authorities.
    #[error("no certificate authorities are installed on this machine (ca-certificates); name yours with sslrootcert")]
    NoSystemRoots,
    /// TLS cannot be set up.
    #[error("TLS cannot be set up ({0})")]
    Tls(String),
}

/// A database operation failed; nothing of it remains.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// No connection could be had, or it broke, or the server asks to try again.
    #[error("PostgreSQL is not available ({0})")]
    Unavailable(String),
    /// Somebody else was faster or holds a lock: the same may work at once.
    #[error("another transaction came in between ({0})")]
    Raced(String),
    /// The server refuses what we ask, and would refuse it again.
    #[error("PostgreSQL refuses the statement ({0})")]
    Refused(String),
    /// The booking that Stripe's metadata names is not there, yet.
    #[error("no booking {0} (yet)")]
    UnknownBooking(uuid::Uuid),
    /// A stored fact or parameter cannot be read.
    #[error("a stored value cannot be read: {0}")]
    Corrupt(String),
    /// Applying the request panicked: a bug.
    #[error("applying it panicked")]
    Panicked,
    /// The schema could not be brought up to date.
    #[error("the migration failed: {0}")]
    Migration(String),
}

impl From<PoolError> for StoreError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) if error.as_db_error().is_some() => error.into(),
            PoolError::Backend(error) => Self::Unavailable(no_connection(&error)),
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
            Some(db) if is_race(db.code()) => Self::Raced(describe(db)),
            Some(db) if is_passing(db.code()) => Self::Unavailable(describe(db)),
            Some(db) => Self::Refused(describe(db)),
            None if error.is_closed() => Self::Unavailable("the connection was closed".to_owned()),
            None => match error.source() {
                Some(source) if source.is::<io::Error>() => Self::Unavailable(source.to_string()),
                Some(_) => Self::Refused("a value or an answer could not be converted".to_owned()),
                None => Self::Unavailable(error.to_string()),
            },
        }
    }
}

/// What the server said, if it was the server: refinery's own text leaves that out.
pub(super) fn migration(error: &refinery::Error) -> StoreError {
    StoreError::Migration(said(error).map_or_else(|| error.to_string(), describe))
}

/// Whether somebody else has a table that a migration needs for itself.
pub(super) fn is_locked_out(error: &refinery::Error) -> bool {
    said(error).is_some_and(|db| *db.code() == SqlState::LOCK_NOT_AVAILABLE)
}

fn said(error: &refinery::Error) -> Option<&DbError> {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(db) = inner.downcast_ref::<tokio_postgres::Error>().and_then(tokio_postgres::Error::as_db_error) {
            return Some(db);
        }
        cause = inner.source();
    }
    None
}

fn describe(db: &DbError) -> String {
    let code = db.code();
    let place = match *code {
        SqlState::INVALID_PASSWORD => "wrong user or password",
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            "the server does not let this user in from here, or not without TLS (sslmode)"
        }
        SqlState::INVALID_CATALOG_NAME => "there is no such database",
        SqlState::INSUFFICIENT_PRIVILEGE => "the role lacks a privilege; see Rights in docs/OPERATIONS.md",
        _ => db.constraint().or(db.table()).unwrap_or_default(),
    };
    format!("SQLSTATE {} {place}", code.code()).trim_end().to_owned()
}

/// Why there is no connection, and what to do about it. Nothing of this comes from a client's data.
fn no_connection(error: &tokio_postgres::Error) -> String {
    let Some(source) = error.source() else { return error.to_string() };
    let Some(io) = source.downcast_ref::<io::Error>() else {
        // The server has answered, and TLS or the authentication came to nothing.
        return format!("{source}; see sslmode in DATABASE_URL");
    };
    let Some(tls) = io.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return io.to_string();
    };
    let remedy = match tls {
        rustls::Error::InvalidCertificate(wrong) => match wrong {
            // The second: an authority of the same name, with another key.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "sslrootcert has to name the authority that signed it"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "connect by a name that is in it"
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has to be renewed",
            _ => "see sslmode and sslrootcert in DATABASE_URL",
        },
        _ => "see sslmode in DATABASE_URL",
    };
    format!("TLS: {tls}; {remedy}")
}

/// SQLSTATE classes that pass by themselves: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn is_passing(code: &SqlState) -> bool {
    // 08 connection, 53 resources, 55 object not in the right state, 57 operator intervention
    // (shutdown, cancel, timeout), 58 system, XX internal, 25 a replica that is not primary yet. What an operator can
    // mend must not empty the topic into the DLQ: 28 and 3D credentials and database, 42 privileges and a schema that is
    // not migrated yet, 0A and 26 statements that a migration or a connection pooler has made invalid.
    const CLASSES: [&str; 12] = ["08", "0A", "25", "26", "28", "3D", "42", "53", "55", "57", "58", "XX"];
    CLASSES.contains(&class_of(code))
}

/// Deadlocks and serialization failures (class 40), a lock that was not to be had in time, and a row that somebody else
/// inserted or deleted in the same moment: the next try sees it. Statements are sent together, so what is heard first may
/// also be that the transaction has failed already, of one of these more often than not.
fn is_race(code: &SqlState) -> bool {
    let races = [
        SqlState::UNIQUE_VIOLATION,
        SqlState::FOREIGN_KEY_VIOLATION,
        SqlState::LOCK_NOT_AVAILABLE,
        SqlState::IN_FAILED_SQL_TRANSACTION,
    ];
    class_of(code) == "40" || races.contains(code)
}

fn class_of(code: &SqlState) -> &str {
    code.code().get(..2).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_that_failed_already_does_not_say_that_the_database_is_away() {
        assert!(is_race(&SqlState::IN_FAILED_SQL_TRANSACTION));
        assert!(!is_race(&SqlState::READ_ONLY_SQL_TRANSACTION) && is_passing(&SqlState::READ_ONLY_SQL_TRANSACTION));
    }
}
