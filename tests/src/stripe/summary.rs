//! What Stripe holds per booking: the figures that must come out the same whatever the order of events.

use std::collections::BTreeMap;

use serde::Serialize;

use super::model::{IntentStatus, RefundStatus, SessionStatus};
use super::store::Store;

/// Sessions and money of one booking.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BookingMoney {
    /// Sessions ever made.
    pub sessions: usize,
    /// Sessions that can still be paid.
    pub live_sessions: usize,
    /// Payments that arrived.
    pub payments: usize,
    /// Minor units that arrived.
    pub paid: i64,
    /// Refunds that neither failed nor were canceled.
    pub refunds: usize,
    /// Minor units that went back.
    pub refunded: i64,
    /// Minor units on their way back.
    pub refund_pending: i64,
}

impl BookingMoney {
    /// What is kept in the end.
    pub fn net(&self) -> i64 {
        self.paid - self.refunded
    }
}

/// By booking id; what carries none is under the empty string.
pub type Summary = BTreeMap<String, BookingMoney>;

pub(super) fn summary(store: &Store) -> Summary {
    let mut summary = Summary::new();
    let booking_of = |session: &str| {
        let session = store.sessions.get(session).unwrap();
        session.booking().unwrap_or_default().to_owned()
    };
    for session in store.sessions.rows() {
        let money = summary.entry(booking_of(&session.id)).or_default();
        money.sessions += 1;
        money.live_sessions += usize::from(session.status == SessionStatus::Open);
    }
    for intent in store.intents.rows().iter().filter(|intent| intent.status == IntentStatus::Succeeded) {
        let money = summary.entry(booking_of(&intent.session)).or_default();
        money.payments += 1;
        money.paid += intent.amount;
    }
    for refund in store.refunds.rows().iter().filter(|refund| refund.status.holds()) {
        let intent = store.intents.get(&refund.payment_intent).unwrap();
        let money = summary.entry(booking_of(&intent.session)).or_default();
        money.refunds += 1;
        match refund.status {
            RefundStatus::Succeeded => money.refunded += refund.amount,
            _ => money.refund_pending += refund.amount,
        }
    }
    summary
}
