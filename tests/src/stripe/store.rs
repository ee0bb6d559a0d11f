//! The double's whole state apart from HTTP: objects, clock, ids, and the events they give rise to.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::events::{Cause, Event, Outbox};
use super::model::{PaymentIntent, Refund, RefundStatus, Session, SessionStatus, Table};
use super::objects;

/// Whether a refund is done at once or must be settled by the test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefundMode {
    /// Created as `succeeded`.
    #[default]
    Instant,
    /// Created as `pending`.
    Pending,
}

#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) sessions: Table<Session>,
    pub(super) intents: Table<PaymentIntent>,
    pub(super) refunds: Table<Refund>,
    pub(super) outbox: Outbox,
    pub(super) refund_mode: RefundMode,
    /// Tell of `charge.refunded` when a refund is created, though it is still pending.
    pub(super) early_charge_refunded: bool,
    /// Set while a request executes, for the events it causes.
    pub(super) cause: Cause,
    /// Where the pages to pay on are.
    pub(super) pages: String,
    offset: SignedDuration,
    seed: u64,
    ids: u64,
    next_expiry: Option<i64>,
}

impl Store {
    pub(super) fn new(seed: u64, pages: String) -> Self {
        Self { seed, pages, outbox: Outbox::new(seed), ..Self::default() }
    }

    /// Stripe's clock in Unix seconds.
    pub(super) fn now(&self) -> i64 {
        (Timestamp::now() + self.offset).as_second()
    }

    pub(super) fn advance(&mut self, by: Duration) {
        self.offset += SignedDuration::try_from(by).unwrap();
        self.expire_due();
    }

    /// A new id: counted, so never given twice, and scrambled, so that nothing can be read from it.
    pub(super) fn id(&mut self, prefix: &str, length: usize) -> String {
        const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyzACDEFGHJ";
        self.ids += 1;
        let mut id = format!("{prefix}{:04x}{:06}", self.seed & 0xffff, self.ids);
        let mut state = self.seed ^ self.ids.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        while id.len() < prefix.len() + length {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            id.push(char::from(ALPHABET[(state >> 59) as usize]));
        }
        id
    }

    pub(super) fn add_session(&mut self, session: Session) {
        let soonest = self.next_expiry.map_or(session.expires_at, |next| next.min(session.expires_at));
        self.next_expiry = Some(soonest);
        self.sessions.insert(session);
    }

    /// Expires every open session whose time has come.
    pub(super) fn expire_due(&mut self) {
        let now = self.now();
        if self.next_expiry.is_none_or(|next| now < next) {
            return;
        }
        let open = self.sessions.rows().iter().filter(|session| session.status == SessionStatus::Open);
        let (due, later): (Vec<_>, Vec<_>) = open.partition(|session| session.expires_at <= now);
        let due: Vec<String> = due.into_iter().map(|session| session.id.clone()).collect();
        self.next_expiry = later.iter().map(|session| session.expires_at).min();
        for id in due {
            self.expire(&id);
        }
    }

    /// Expires one open session and tells of it.
    pub(super) fn expire(&mut self, id: &str) {
        let session = self.sessions.get_mut(id).unwrap();
        session.status = SessionStatus::Expired;
        session.url = None;
        let object = objects::session(session);
        self.emit("checkout.session.expired", &object);
    }

    /// The refunds of a payment intent, oldest first.
    pub(super) fn refunds_of<'a>(&'a self, intent: &'a str) -> impl Iterator<Item = &'a Refund> {
        self.refunds.rows().iter().filter(move |refund| refund.payment_intent == intent)
    }

    /// What of a payment can still be refunded.
    pub(super) fn refundable(&self, intent: &PaymentIntent) -> i64 {
        let held = self.refunds_of(&intent.id).filter(|refund| refund.status.holds());
        intent.amount - held.map(|refund| refund.amount).sum::<i64>()
    }

    /// `amount_refunded` of a payment's charge.
    pub(super) fn amount_refunded(&self, intent: &str) -> i64 {
        let early = self.early_charge_refunded;
        let counts = |refund: &&Refund| {
            refund.status == RefundStatus::Succeeded || (early && refund.status == RefundStatus::Pending)
        };
        self.refunds_of(intent).filter(counts).map(|refund| refund.amount).sum()
    }

    pub(super) fn charge(&self, intent: &PaymentIntent) -> Value {
        objects::charge(intent, self.amount_refunded(&intent.id))
    }

    pub(super) fn emit(&mut self, kind: &str, object: &Value) {
        let event = Event::new(self.id("evt_", 28), kind, self.now(), object, &self.cause);
        self.outbox.push(event);
    }
}
