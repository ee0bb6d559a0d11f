//! Removing a person. What stays is what money needs: ids, times, states, amounts.

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use uuid::Uuid;

use super::super::Store;
use super::super::error::StoreError;
use super::MAX_LOOKS;
use super::case::Case;
use super::load;
use super::write::{self, Decided};

/// Whose row, history or ledger has the address. Whole tables are read: it is rare, and an index would cost every event.
const FIND: &str = "SELECT id FROM bookings WHERE lower(invitee_email) = lower($1) \
             UNION SELECT booking_id FROM booking_events \
             WHERE lower(coalesce(fact ->> 'email', fact -> 'details' ->> 'email')) = lower($1) \
             UNION SELECT booking_id FROM stripe_operations, jsonb_array_elements(params) AS field \
             WHERE field ->> 0 = 'customer_email' AND lower(field ->> 1) = lower($1) ORDER BY 1";

/// A booking whose person is, or would be, removed.
#[derive(Clone, Debug, serde::Serialize)]
pub struct ErasedBooking {
    /// Its id.
    pub booking_id: Uuid,
    /// Its status, which does not change.
    pub status: String,
    /// Its payment's status, which does not change.
    pub payment_status: String,
    /// When the appointment is.
    pub start_time: Option<Timestamp>,
}

impl Store {
    /// Removes the person with this address from every booking that ever had it, in one transaction; with `dry_run` it only
    /// tells which these are. Empty when there are none.
    ///
    /// The bookings are marked: what is heard of them later loses its personal fields before it is stored, and the next
    /// thing that is published of them is a tombstone.
    pub async fn erase_person(&self, email: &str, dry_run: bool) -> Result<Vec<ErasedBooking>, StoreError> {
        let mut client = self.client().await?;
        let tx = client.transaction().await?;
        super::sql::prepare(&tx).await?;
        // Of a table that has grown for years, a look may take minutes. It is one from end to end.
        tx.batch_execute(
            "SET LOCAL statement_timeout = 0; SET LOCAL enable_seqscan = on; SET LOCAL plan_cache_mode = auto",
        )
        .await?;
        let ids = if dry_run { find(&tx, email).await? } else { erase(&tx, email).await? };
        let erased = shown(&tx, &ids).await?;
        tx.commit().await?;
        Ok(erased)
    }
}

async fn find(tx: &Transaction<'_>, email: &str) -> Result<Vec<Uuid>, StoreError> {
    Ok(tx.query(FIND, &[&email]).await?.iter().map(|row| row.get(0)).collect())
}

/// Locks the bookings, and looks again: meanwhile they may have been merged, or another may have got the address.
async fn erase(tx: &Transaction<'_>, email: &str) -> Result<Vec<Uuid>, StoreError> {
    let mut ids = find(tx, email).await?;
    for _ in 0..MAX_LOOKS {
        let loaded = load::lock_and_load(tx, &ids).await?;
        let again = find(tx, email).await?;
        if again == ids {
            let now = load::time(tx).await?;
            write::mark_erased(tx, &ids).await?;
            return forget(tx, ids, loaded, now).await;
        }
        ids = again;
    }
    Err(StoreError::Raced("bookings changed hands again and again".to_owned()))
}

/// Writes what is left of each booking when its facts have lost the person.
async fn forget(
    tx: &Transaction<'_>,
    ids: Vec<Uuid>,
    mut loaded: load::Loaded,
    now: Timestamp,
) -> Result<Vec<Uuid>, StoreError> {
    let mut decided = Vec::with_capacity(ids.len());
    for id in &ids {
        let facts = loaded.facts.remove(id).unwrap_or_default();
        let ledger = loaded.ledgers.remove(id).unwrap_or_default();
        let mut case = Case::new(*id, facts, ledger, Vec::new()).erased();
        case.take_in(std::iter::empty(), now);
        case.show_refused_refund();
        case.is_touched = true;
        decided.push(Decided { case, names: Vec::new() });
    }
    write::write(tx, &decided).await?;
    Ok(ids)
}

async fn shown(tx: &Transaction<'_>, ids: &[Uuid]) -> Result<Vec<ErasedBooking>, StoreError> {
    let query = "SELECT id, status, payment_status, start_time FROM bookings WHERE id = ANY($1) ORDER BY created_at";
    let rows = tx.query(query, &[&ids]).await?;
    let erased = rows.iter().map(|row| ErasedBooking {
        booking_id: row.get(0),
        status: row.get(1),
        payment_status: row.get(2),
        start_time: row.get(3),
    });
    Ok(erased.collect())
}
