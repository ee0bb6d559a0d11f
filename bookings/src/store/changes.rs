//! The outbox: which bookings have changed, and what they are now, for whoever publishes that.
//!
//! Triggers write it (migration V3). Whoever holds the [`Outbox`] reads entries together with the rows, publishes the
//! rows, and takes those entries out. An entry that is written meanwhile is another one, and stays.

use std::collections::HashMap;
use std::time::Duration;

use deadpool_postgres::{ClientWrapper, Object};
use schemas::BookingState;
use tokio_postgres::Row;
use uuid::Uuid;

use super::Store;
use super::error::StoreError;

/// Who has this advisory lock of the database publishes.
const LOCK: i64 = 7_263_548_102;

/// Entries with what there is to say of their bookings, in one statement and so of one moment: whoever sees an entry sees
/// the change that it stands for.
const NEXT: &str = "SELECT entry.id, entry.booking_id, b.id IS NOT NULL AND b.erased_at IS NULL, b.reference, b.status, \
             b.payment_status, b.amount_minor, b.currency, b.invitee_uri, b.invitee_email, b.invitee_name, b.event_uri, \
             b.event_type_uri, b.event_name, b.start_time, b.end_time, b.no_show, b.checkout_session_id, b.checkout_url, \
             b.payment_intent_id, b.created_at, b.updated_at \
             FROM (SELECT id, booking_id FROM booking_changes ORDER BY id LIMIT $1) AS entry \
             LEFT JOIN LATERAL (SELECT * FROM bookings WHERE bookings.id = entry.booking_id OFFSET 0) AS b ON true";

/// The right to publish: one process at a time has it, until this is dropped or its connection breaks.
pub struct Outbox {
    client: ClientWrapper,
}

/// What there is to publish.
#[derive(Debug, Default)]
pub struct Changes {
    /// Entries to be taken out.
    entries: Vec<i64>,
    /// Each booking once, with its state, or `None` when it is gone or its person was erased.
    pub states: Vec<(Uuid, Option<BookingState>)>,
}

impl Changes {
    /// How many entries they are; as many as were asked for mean that there may be more.
    pub fn entries(&self) -> usize {
        self.entries.len()
    }
}

/// What waits in the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingChanges {
    /// Entries.
    pub count: i64,
    /// How long the oldest has waited; zero when there is none.
    pub oldest: Duration,
}

impl Store {
    /// The outbox, unless another process has it. Its connection is one beside the pool.
    pub async fn outbox(&self) -> Result<Option<Outbox>, StoreError> {
        let pooled = self.client().await?;
        if !pooled.query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK]).await?.get::<_, bool>(0) {
            return Ok(None);
        }
        let client = Object::take(pooled);
        // A process that is frozen, or cut off, must not keep the right for ever.
        client.batch_execute("SET idle_session_timeout = '30s'").await?;
        Ok(Some(Outbox { client }))
    }

    /// How much waits, by the database's clock.
    pub async fn pending_changes(&self) -> Result<PendingChanges, StoreError> {
        let client = self.client().await?;
        let statement = client
            .prepare_cached(
                "SELECT count(*), greatest(extract(epoch FROM now() - min(changed_at)), 0)::float8 FROM booking_changes",
            )
            .await?;
        let row = client.query_one(&statement, &[]).await?;
        let oldest = row.get::<_, Option<f64>>(1).unwrap_or_default();
        Ok(PendingChanges { count: row.get(0), oldest: Duration::try_from_secs_f64(oldest).unwrap_or_default() })
    }

    /// Whether the state of any of these bookings has still to be published.
    pub async fn are_changes_pending(&self, bookings: &[Uuid]) -> Result<bool, StoreError> {
        let client = self.client().await?;
        let query = "SELECT EXISTS (SELECT FROM booking_changes WHERE booking_id = ANY($1))";
        Ok(client.query_one(query, &[&bookings]).await?.get(0))
    }
}

impl Outbox {
    /// The oldest entries, `limit` at most. They stay until they are [done](Self::done).
    pub async fn next(&self, limit: i64) -> Result<Changes, StoreError> {
        let statement = self.client.prepare_cached(NEXT).await?;
        let rows = self.client.query(&statement, &[&limit]).await?;
        let states: HashMap<Uuid, Option<BookingState>> = rows.iter().map(|row| (row.get(1), state(row))).collect();
        Ok(Changes { entries: rows.iter().map(|row| row.get(0)).collect(), states: states.into_iter().collect() })
    }

    /// Takes out what was published.
    pub async fn done(&self, changes: &Changes) -> Result<(), StoreError> {
        let statement = self.client.prepare_cached("DELETE FROM booking_changes WHERE id = ANY($1)").await?;
        self.client.execute(&statement, &[&changes.entries]).await?;
        Ok(())
    }
}

fn state(row: &Row) -> Option<BookingState> {
    row.get::<_, bool>(2).then(|| BookingState {
        booking_id: row.get(1),
        reference: row.get(3),
        status: row.get(4),
        payment_status: row.get(5),
        amount_minor: row.get(6),
        currency: row.get(7),
        invitee_uri: row.get(8),
        invitee_email: row.get(9),
        invitee_name: row.get(10),
        event_uri: row.get(11),
        event_type_uri: row.get(12),
        event_name: row.get(13),
        start_time: row.get(14),
        end_time: row.get(15),
        no_show: row.get(16),
        checkout_session_id: row.get(17),
        checkout_url: row.get(18),
        payment_intent_id: row.get(19),
        created_at: row.get(20),
        updated_at: row.get(21),
    })
}
