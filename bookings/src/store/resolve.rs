//! Which booking an event belongs to: invitees linked by reschedules form one booking, whichever link comes first.

use deadpool_postgres::Transaction;
use uuid::Uuid;

use super::error::StoreError;
use crate::fact::Details;

/// Finds or creates the booking of an invitee and locks its row.
///
/// Locks are taken in one order (invitees by hash, then bookings by id), so that two events of one booking wait for
/// each other and never deadlock.
pub(super) async fn by_invitee(tx: &Transaction<'_>, details: &Details) -> Result<Uuid, StoreError> {
    let invitees = invitees(details);
    // Two events may be the first of the same booking: invitees and reference are locked before there is a row to lock.
    let reference = details.reference.as_ref().map(|reference| format!("reference {reference}"));
    let names: Vec<&str> = invitees.iter().copied().chain(reference.as_deref()).collect();
    tx.execute(
        "SELECT pg_advisory_xact_lock(key) FROM (SELECT DISTINCT hashtextextended(uri, 0) AS key \
         FROM unnest($1::text[]) AS uri ORDER BY key) AS keys",
        &[&names],
    )
    .await?;
    let mut found = candidates(tx, &invitees, details.reference.as_deref()).await?;
    loop {
        let locked: Vec<Uuid> = tx
            .query("SELECT id FROM bookings WHERE id = ANY($1) ORDER BY id FOR UPDATE", &[&found])
            .await?
            .iter()
            .map(|row| row.get(0))
            .collect();
        // While we waited for the lock, another event may have merged one of them into another.
        let again = candidates(tx, &invitees, details.reference.as_deref()).await?;
        if again == locked {
            break;
        }
        found = again;
    }
    let booking = match found.as_slice() {
        [] => create(tx, details.reference.as_deref()).await?,
        [only] => *only,
        several => merge(tx, several).await?,
    };
    tx.execute(
        "INSERT INTO booking_invitees (invitee_uri, booking_id) SELECT uri, $2 FROM unnest($1::text[]) AS uri \
         ON CONFLICT (invitee_uri) DO NOTHING",
        &[&invitees, &booking],
    )
    .await?;
    Ok(booking)
}

/// Finds the booking that Stripe's metadata names, and locks its row.
pub(super) async fn by_id(tx: &Transaction<'_>, id: Uuid) -> Result<Uuid, StoreError> {
    // Again, because a merge may take the row away while we wait for its lock.
    for _ in 0..3 {
        let row = tx
            .query_opt(
                "SELECT id FROM bookings WHERE id = $1 \
                 OR id = (SELECT booking_id FROM booking_aliases WHERE alias = $1) FOR UPDATE",
                &[&id],
            )
            .await?;
        if let Some(row) = row {
            return Ok(row.get(0));
        }
    }
    Err(StoreError::UnknownBooking(id))
}

fn invitees(details: &Details) -> Vec<&str> {
    let mut all: Vec<&str> = [Some(&details.invitee_uri), details.old_invitee.as_ref(), details.new_invitee.as_ref()]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

async fn candidates(tx: &Transaction<'_>, invitees: &[&str], reference: Option<&str>) -> Result<Vec<Uuid>, StoreError> {
    let rows = tx
        .query(
            "SELECT booking_id FROM booking_invitees WHERE invitee_uri = ANY($1) \
             UNION SELECT id FROM bookings WHERE reference = $2 ORDER BY 1",
            &[&invitees, &reference],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Another event with the same reference may create the row at the same moment: then that row is the one.
async fn create(tx: &Transaction<'_>, reference: Option<&str>) -> Result<Uuid, StoreError> {
    let row = tx
        .query_one(
            "INSERT INTO bookings (id, reference) VALUES ($1, $2) \
             ON CONFLICT (reference) DO UPDATE SET reference = excluded.reference RETURNING id",
            &[&Uuid::now_v7(), &reference],
        )
        .await?;
    Ok(row.get(0))
}

/// Makes several locked bookings one. The caller's own row survives, else the oldest; nothing of the others is lost.
async fn merge(tx: &Transaction<'_>, several: &[Uuid]) -> Result<Uuid, StoreError> {
    let survivor: Uuid = tx
        .query_one(
            "SELECT id FROM bookings WHERE id = ANY($1) ORDER BY reference IS NULL, created_at, id LIMIT 1",
            &[&several],
        )
        .await?
        .get(0);
    let others: Vec<Uuid> = several.iter().copied().filter(|id| *id != survivor).collect();
    for statement in [
        "UPDATE booking_invitees SET booking_id = $1 WHERE booking_id = ANY($2)",
        "UPDATE booking_events SET booking_id = $1 WHERE booking_id = ANY($2)",
        "UPDATE stripe_operations SET booking_id = $1 WHERE booking_id = ANY($2)",
        "UPDATE booking_aliases SET booking_id = $1 WHERE booking_id = ANY($2)",
        "INSERT INTO booking_aliases (alias, booking_id) SELECT alias, $1 FROM unnest($2::uuid[]) AS alias",
    ] {
        tx.execute(statement, &[&survivor, &others]).await?;
    }
    tx.execute("DELETE FROM bookings WHERE id = ANY($1)", &[&others]).await?;
    tracing::info!(booking_id = %survivor, merged = others.len(), "bookings turned out to be one");
    Ok(survivor)
}
