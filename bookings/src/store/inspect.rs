//! A look at the database from outside: is it one that this release can work with? Changes nothing.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tokio_postgres::error::SqlState;

use super::error::StoreError;
use super::{Store, migrations};

/// What reads and writes bookings has to be allowed on each of these.
const TABLES: [&str; 10] = [
    "booking_aliases",
    "booking_changes",
    "booking_events",
    "booking_invitees",
    "booking_payments",
    "bookings",
    "checkout_requests",
    "prices",
    "stray_facts",
    "stripe_operations",
];

/// Networks that the internet does not route to: loopback, RFC 1918, RFC 6598, RFC 3927, RFC 4193, RFC 4291.
const PRIVATE: [&str; 9] = [
    "127.0.0.0/8",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "::1/128",
    "fc00::/7",
    "fe80::/10",
];

/// How far a connection goes, by the addresses that the server sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It stays on this machine.
    Machine,
    /// Both ends have addresses that are not on the internet. A server behind a gateway has such a one too, and then its
    /// client has none.
    PrivateNetwork,
    /// Any other.
    Internet,
}

/// What the server is, and what is in it.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// `server_version`, such as `17.2`.
    pub version: String,
    /// The number before the dot.
    pub major: i32,
    /// Whether this connection is encrypted.
    pub is_encrypted: bool,
    /// Whether somebody decided against encryption: `sslmode=disable`.
    pub declines_tls: bool,
    /// How far it goes.
    pub reach: Reach,
    /// The server's time when it answered.
    pub clock: Timestamp,
    /// Migrations of this release that are not applied, by name.
    pub pending: Vec<String>,
    /// Migrations that are applied and that this release does not know, or knows otherwise.
    pub foreign: Vec<String>,
    /// Tables on which the role lacks a right.
    pub denied: Vec<String>,
}

impl Store {
    /// Looks.
    pub async fn inspect(&self) -> Result<Inspection, StoreError> {
        let client = self.client().await?;
        let row = client
            .query_one(
                "SELECT current_setting('server_version'), current_setting('server_version_num')::int4 / 10000, \
                 coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false), \
                 coalesce(inet_server_addr() <<= '127.0.0.0/8' OR inet_server_addr() = '::1', true), clock_timestamp(), \
                 coalesce((SELECT bool_and(EXISTS (SELECT FROM unnest($1::text[]) AS net WHERE address <<= net::inet)) \
                 FROM unnest(ARRAY[inet_server_addr(), inet_client_addr()]) AS address), true)",
                &[&PRIVATE.as_slice()],
            )
            .await?;
        let (pending, foreign) = compared(&applied(&client).await?);
        let denied = client
            .query(
                "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relname = ANY($1) AND pg_table_is_visible(oid) \
                 AND NOT (has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT') \
                 AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE')) ORDER BY relname",
                &[&TABLES.as_slice()],
            )
            .await?;
        let denied = denied.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        Ok(Inspection {
            version: row.try_get(0)?,
            major: row.try_get(1)?,
            is_encrypted: row.try_get(2)?,
            declines_tls: self.declines_tls,
            reach: match (row.try_get(3)?, row.try_get(5)?) {
                (true, _) => Reach::Machine,
                (false, true) => Reach::PrivateNetwork,
                (false, false) => Reach::Internet,
            },
            clock: row.try_get(4)?,
            pending,
            foreign,
            denied,
        })
    }

    /// The server's time.
    pub async fn clock(&self) -> Result<Timestamp, StoreError> {
        Ok(self.client().await?.query_one("SELECT clock_timestamp()", &[]).await?.try_get(0)?)
    }
}

/// Names by version, with checksums.
type Applied = BTreeMap<i64, (String, String)>;

async fn applied(client: &tokio_postgres::Client) -> Result<Applied, StoreError> {
    match client.query("SELECT version::int8, name, checksum FROM refinery_schema_history", &[]).await {
        Ok(rows) => {
            let read = |row: &tokio_postgres::Row| Ok((row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?)));
            rows.iter().map(read).collect()
        }
        // Not there yet.
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Ok(Applied::new()),
        Err(error) => Err(error.into()),
    }
}

/// What is missing, and what is strange.
fn compared(applied: &Applied) -> (Vec<String>, Vec<String>) {
    let runner = migrations::migrations::runner();
    let ours: Applied = runner
        .get_migrations()
        .iter()
        .map(|one| (i64::from(one.version()), (one.name().to_owned(), one.checksum().to_string())))
        .collect();
    let named = |(version, (name, _)): (&i64, &(String, String))| format!("V{version}__{name}");
    let pending = ours.iter().filter(|(version, _)| !applied.contains_key(version)).map(named).collect();
    let foreign = applied.iter().filter(|(version, one)| ours.get(version) != Some(one)).map(named).collect();
    (pending, foreign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_and_what_is_strange_is_named() {
        let (pending, foreign) = compared(&Applied::new());
        assert!(pending.len() >= 2 && foreign.is_empty(), "{pending:?}");
        let strange = ("bookings".to_owned(), "0".to_owned());
        let applied = Applied::from([(1, strange.clone()), (999, strange)]);
        let (pending, foreign) = compared(&applied);
        assert!(!pending.contains(&"V1__bookings".to_owned()), "{pending:?}");
        assert_eq!(foreign, ["V1__bookings", "V999__bookings"]);
    }
}
