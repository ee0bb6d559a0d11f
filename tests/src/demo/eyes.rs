//! What the demo sees: rows of the database, records of the topics, money at Stripe.

use super::stack::{RETRY_DELAYS, Stack};
use crate::calendly::Invitee;
use crate::kafka::{Isolation, Message, read_all};
use crate::stripe::BookingMoney;

/// A row of `bookings`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Booking {
    pub(super) id: String,
    pub(super) invitee_uri: String,
    pub(super) status: String,
    pub(super) payment_status: String,
    pub(super) session: Option<String>,
    /// All of the row but the time when it was last written, to tell whether anything at all has changed.
    all: String,
}

/// The topics of the contract, in the order in which a record may see them.
pub(super) fn topics() -> Vec<String> {
    let tiers = RETRY_DELAYS.map(|(label, _)| format!("calendly.events.retry.{label}"));
    let (first, last) = (["calendly.events", "stripe.events"], ["calendly.events.due", "calendly.events.dlq"]);
    first.into_iter().map(str::to_owned).chain(tiers).chain(last.map(str::to_owned)).collect()
}

impl Stack {
    /// All bookings of a person, whichever invitee they are now.
    pub(super) async fn bookings(&self, person: &Invitee) -> Vec<Booking> {
        self.find(&person.email).await
    }

    /// All bookings that an e-mail address or a booking id names.
    pub(super) async fn find(&self, name: &str) -> Vec<Booking> {
        let sql = "SELECT id::text, invitee_uri, status, payment_status, checkout_session_id, (to_jsonb(bookings) - 'updated_at')::text \
                   FROM bookings WHERE invitee_email = $1 OR id::text = $1";
        let rows = self.database.query(sql, &[&name]).await.expect("the bookings can be read");
        rows.iter()
            .map(|row| Booking {
                id: row.get(0),
                invitee_uri: row.get(1),
                status: row.get(2),
                payment_status: row.get(3),
                session: row.get(4),
                all: row.get(5),
            })
            .collect()
    }

    /// Every record of a topic.
    pub(super) async fn records(&self, topic: &str) -> Vec<Message> {
        read_all(self.kafka.brokers(), topic, Isolation::Committed).await
    }

    /// The records of a topic that have one of the keys.
    pub(super) async fn records_of(&self, topic: &str, keys: &[&str]) -> Vec<Message> {
        let mut records = self.records(topic).await;
        records.retain(|record| record.key_str().is_some_and(|key| keys.contains(&key)));
        records
    }

    /// What Stripe holds for a booking.
    pub(super) fn money(&self, booking: &Booking) -> BookingMoney {
        self.double.summary().remove(&booking.id).unwrap_or_default()
    }
}
