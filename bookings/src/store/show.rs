//! Reading bookings for people.

use jiff::Timestamp;
use uuid::Uuid;

use super::Store;
use super::error::StoreError;

/// A row of `bookings`.
#[derive(Clone, Debug, serde::Serialize)]
#[expect(missing_docs, reason = "the columns are documented in the contract and the migration")]
pub struct BookingRow {
    pub id: Uuid,
    pub reference: Option<String>,
    pub invitee_uri: Option<String>,
    pub event_uri: Option<String>,
    pub event_type_uri: Option<String>,
    pub invitee_email: Option<String>,
    pub invitee_name: Option<String>,
    pub start_time: Option<Timestamp>,
    pub end_time: Option<Timestamp>,
    pub status: String,
    pub payment_status: String,
    pub amount_minor: Option<i64>,
    pub currency: Option<String>,
    pub checkout_session_id: Option<String>,
    pub checkout_url: Option<String>,
    pub payment_intent_id: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// Something that happened to a booking.
#[derive(Clone, Debug, serde::Serialize)]
pub struct HistoryRow {
    /// The event's id.
    pub event_id: Uuid,
    /// Its type.
    pub event_type: String,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// When we recorded it.
    pub recorded_at: Timestamp,
}

/// Something that was asked of Stripe.
#[derive(Clone, Debug, serde::Serialize)]
pub struct OperationRow {
    /// Its id.
    pub id: Uuid,
    /// What it does.
    pub kind: String,
    /// What it does it to.
    pub target: String,
    /// How far it is.
    pub state: String,
    /// Tries so far.
    pub attempts: i32,
    /// The last error.
    pub error: Option<String>,
    /// When it was planned.
    pub created_at: Timestamp,
    /// When it was done, refused or abandoned.
    pub settled_at: Option<Timestamp>,
}

impl Store {
    /// The bookings that a booking id, a reference, an invitee's or event's URI, or an e-mail address names.
    pub async fn find_bookings(&self, name: &str) -> Result<Vec<BookingRow>, StoreError> {
        let client = self.client().await?;
        let rows = client
            .query(
                "SELECT id, reference, invitee_uri, event_uri, event_type_uri, invitee_email, invitee_name, start_time, \
                 end_time, status, payment_status, amount_minor, currency, checkout_session_id, checkout_url, \
                 payment_intent_id, created_at, updated_at FROM bookings WHERE id = $2 \
                 OR id = (SELECT booking_id FROM booking_aliases WHERE alias = $2) \
                 OR id = (SELECT booking_id FROM booking_invitees WHERE invitee_uri = $1) \
                 OR reference = $1 OR event_uri = $1 OR lower(invitee_email) = lower($1) ORDER BY created_at",
                &[&name, &name.parse::<Uuid>().ok()],
            )
            .await?;
        Ok(rows.iter().map(booking_row).collect())
    }

    /// What happened to a booking, oldest first.
    pub async fn history(&self, booking_id: Uuid) -> Result<Vec<HistoryRow>, StoreError> {
        let client = self.client().await?;
        let rows = client
            .query(
                "SELECT event_id, event_type, occurred_at, recorded_at FROM booking_events WHERE booking_id = $1 \
                 ORDER BY occurred_at, recorded_at",
                &[&booking_id],
            )
            .await?;
        let history = rows.iter().map(|row| HistoryRow {
            event_id: row.get(0),
            event_type: row.get(1),
            occurred_at: row.get(2),
            recorded_at: row.get(3),
        });
        Ok(history.collect())
    }

    /// What was asked of Stripe for a booking, oldest first.
    pub async fn operations(&self, booking_id: Uuid) -> Result<Vec<OperationRow>, StoreError> {
        let client = self.client().await?;
        let rows = client
            .query(
                "SELECT id, kind, target, state, attempts, error, created_at, settled_at FROM stripe_operations \
                 WHERE booking_id = $1 ORDER BY created_at, id",
                &[&booking_id],
            )
            .await?;
        let operations = rows.iter().map(|row| OperationRow {
            id: row.get(0),
            kind: row.get(1),
            target: row.get(2),
            state: row.get(3),
            attempts: row.get(4),
            error: row.get(5),
            created_at: row.get(6),
            settled_at: row.get(7),
        });
        Ok(operations.collect())
    }
}

fn booking_row(row: &tokio_postgres::Row) -> BookingRow {
    BookingRow {
        id: row.get(0),
        reference: row.get(1),
        invitee_uri: row.get(2),
        event_uri: row.get(3),
        event_type_uri: row.get(4),
        invitee_email: row.get(5),
        invitee_name: row.get(6),
        start_time: row.get(7),
        end_time: row.get(8),
        status: row.get(9),
        payment_status: row.get(10),
        amount_minor: row.get(11),
        currency: row.get(12),
        checkout_session_id: row.get(13),
        checkout_url: row.get(14),
        payment_intent_id: row.get(15),
        created_at: row.get(16),
        updated_at: row.get(17),
    }
}
