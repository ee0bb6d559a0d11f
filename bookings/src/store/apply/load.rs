//! Reading everything that is known about some bookings.

use std::collections::HashMap;

use deadpool_postgres::Transaction;
use futures_util::future::{try_join, try_join3};
use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use uuid::Uuid;

use super::super::error::StoreError;
use super::super::params::Fields;
use super::operation::{Change, Entry};
use super::sql;
use crate::fact::{Fact, FactKind};
use crate::plan::{OperationKind, OperationState};
use crate::price::Price;

/// A locked row of `bookings`, as far as it is not computed.
#[derive(Clone, Debug)]
pub(super) struct Locked {
    pub(super) reference: Option<String>,
    pub(super) created_at: Timestamp,
    /// Its person was removed.
    pub(super) is_erased: bool,
}

/// All that the database knows about some bookings.
#[derive(Default)]
pub(super) struct Loaded {
    pub(super) rows: HashMap<Uuid, Locked>,
    pub(super) facts: HashMap<Uuid, Vec<Fact>>,
    pub(super) ledgers: HashMap<Uuid, Vec<Entry>>,
}

/// Locks the rows, in one order for all, and reads what belongs to them. Rows that are gone are missing in the result.
pub(super) async fn lock_and_load(tx: &Transaction<'_>, ids: &[Uuid]) -> Result<Loaded, StoreError> {
    if ids.is_empty() {
        return Ok(Loaded::default());
    }
    let (rows, facts, ledgers) = try_join3(lock(tx, ids), facts(tx, ids), ledgers(tx, ids)).await?;
    Ok(Loaded { rows, facts, ledgers })
}

async fn lock(tx: &Transaction<'_>, ids: &[Uuid]) -> Result<HashMap<Uuid, Locked>, StoreError> {
    let statement = tx.prepare_cached(sql::LOCK_BOOKINGS).await?;
    let rows = tx.query(&statement, &[&ids]).await?;
    let locked =
        |row: &Row| (row.get(0), Locked { reference: row.get(1), created_at: row.get(2), is_erased: row.get(3) });
    Ok(rows.iter().map(locked).collect())
}

async fn facts(tx: &Transaction<'_>, ids: &[Uuid]) -> Result<HashMap<Uuid, Vec<Fact>>, StoreError> {
    let statement = tx.prepare_cached(sql::FACTS).await?;
    let mut all: HashMap<Uuid, Vec<Fact>> = HashMap::new();
    for row in tx.query(&statement, &[&ids]).await? {
        all.entry(row.get(0)).or_default().push(fact(&row)?);
    }
    Ok(all)
}

/// Reads a fact from the columns after the first.
fn fact(row: &Row) -> Result<Fact, StoreError> {
    let Json(kind) = row.try_get::<_, Json<FactKind>>(4)?;
    Ok(Fact { id: row.get(1), event_type: row.get(2), occurred_at: row.get(3), kind })
}

async fn ledgers(tx: &Transaction<'_>, ids: &[Uuid]) -> Result<HashMap<Uuid, Vec<Entry>>, StoreError> {
    let statement = tx.prepare_cached(sql::LEDGERS).await?;
    let mut all: HashMap<Uuid, Vec<Entry>> = HashMap::new();
    for row in tx.query(&statement, &[&ids]).await? {
        // The table's CHECK allows no other words than those we parse.
        if let Some(entry) = entry(&row)? {
            all.entry(row.get(0)).or_default().push(entry);
        }
    }
    Ok(all)
}

fn entry(row: &Row) -> Result<Option<Entry>, StoreError> {
    let (kind, state): (String, String) = (row.get(2), row.get(5));
    let (Some(kind), Some(state)) = (OperationKind::parse(&kind), OperationState::parse(&state)) else {
        return Ok(None);
    };
    let params = row.try_get::<_, Option<Json<Fields>>>(17)?;
    Ok(Some(Entry {
        id: row.get(1),
        kind,
        target: row.get(3),
        key: row.get(4),
        params: params.map(|Json(params)| params),
        state,
        attempts: row.get(6),
        keys_used: row.get(7),
        first_tried_at: row.get(8),
        last_tried_at: row.get(9),
        look_up: row.get(10),
        in_doubt: row.get(11),
        lease: row.get(12),
        lease_until: row.get(13),
        error: row.get(14),
        created_at: row.get(15),
        settled_at: row.get(16),
        change: Change::Nothing,
    }))
}

/// What was set aside for these payments.
pub(super) async fn strays(tx: &Transaction<'_>, payments: &[&str]) -> Result<HashMap<String, Vec<Fact>>, StoreError> {
    let mut all: HashMap<String, Vec<Fact>> = HashMap::new();
    if payments.is_empty() {
        return Ok(all);
    }
    let statement = tx.prepare_cached(sql::STRAYS).await?;
    for row in tx.query(&statement, &[&payments]).await? {
        all.entry(row.get(0)).or_default().push(fact(&row)?);
    }
    Ok(all)
}

/// The listed prices of these event types, and the database's time. One clock for the leases of all processes.
pub(super) async fn prices_and_time(
    tx: &Transaction<'_>,
    event_types: &[&str],
) -> Result<(HashMap<String, Price>, Timestamp), StoreError> {
    try_join(prices(tx, event_types), time(tx)).await
}

/// The database's time.
pub(super) async fn time(tx: &Transaction<'_>) -> Result<Timestamp, StoreError> {
    let clock = tx.prepare_cached(sql::CLOCK).await?;
    Ok(tx.query_one(&clock, &[]).await?.get(0))
}

/// The listed prices of these event types.
pub(super) async fn prices(tx: &Transaction<'_>, event_types: &[&str]) -> Result<HashMap<String, Price>, StoreError> {
    if event_types.is_empty() {
        return Ok(HashMap::new());
    }
    let statement = tx.prepare_cached(sql::PRICES).await?;
    let rows = tx.query(&statement, &[&event_types]).await?;
    Ok(rows.iter().map(|row| (row.get(2), super::super::prices::price(row))).collect())
}
