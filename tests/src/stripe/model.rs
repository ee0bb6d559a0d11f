//! What Stripe holds: sessions, payment intents (each with at most one charge) and refunds.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

/// `status` of a Checkout session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionStatus {
    /// The customer can still pay.
    Open,
    /// The customer went through checkout; the money may still be on its way.
    Complete,
    /// Nobody can pay any more.
    Expired,
}

/// A Checkout session.
#[derive(Clone, Debug, Serialize)]
pub struct Session {
    /// `cs_test_…`
    pub id: String,
    /// Where it stands.
    pub status: SessionStatus,
    /// Whether the money is there.
    pub paid: bool,
    /// Total in minor units.
    pub amount: i64,
    /// Lower-case ISO code.
    pub currency: String,
    /// Unix seconds by the double's clock.
    pub created: i64,
    /// Unix seconds by the double's clock.
    pub expires_at: i64,
    /// The caller's reference.
    pub client_reference_id: Option<String>,
    /// The caller's metadata.
    pub metadata: BTreeMap<String, String>,
    /// The e-mail address given at creation.
    pub customer_email: Option<String>,
    /// The payment intent; only once the customer went through checkout.
    pub payment_intent: Option<String>,
    /// What the payment intent's metadata will be.
    pub payment_intent_metadata: BTreeMap<String, String>,
    /// The first line item's name.
    pub product: String,
    /// Where the customer goes afterwards.
    pub success_url: String,
    /// Where the customer goes on giving up.
    pub cancel_url: Option<String>,
    /// The page to pay on, while open.
    pub url: Option<String>,
}

impl Session {
    /// The booking that the session is for: its reference, else `metadata[booking_id]`.
    pub fn booking(&self) -> Option<&str> {
        self.client_reference_id.as_deref().or_else(|| self.metadata.get("booking_id").map(String::as_str))
    }

    /// `payment_status` as Stripe writes it.
    pub fn payment_status(&self) -> &'static str {
        if self.paid { "paid" } else { "unpaid" }
    }
}

/// `status` of a payment intent, as far as Checkout shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum IntentStatus {
    /// A delayed payment method was used; the money is on its way.
    Processing,
    /// Paid.
    Succeeded,
    /// The payment failed.
    RequiresPaymentMethod,
}

/// A payment intent with its one charge.
#[derive(Clone, Debug, Serialize)]
pub struct PaymentIntent {
    /// `pi_…`
    pub id: String,
    /// `ch_…` of its one charge.
    pub charge: String,
    /// Where it stands.
    pub status: IntentStatus,
    /// Minor units.
    pub amount: i64,
    /// Lower-case ISO code.
    pub currency: String,
    /// Unix seconds by the double's clock.
    pub created: i64,
    /// Copied from the session's `payment_intent_data[metadata]`.
    pub metadata: BTreeMap<String, String>,
    /// The session it was paid through.
    pub session: String,
}

/// `status` of a refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefundStatus {
    /// Created, not settled.
    Pending,
    /// The money went back.
    Succeeded,
    /// The money did not go back.
    Failed,
    /// Taken back before it settled.
    Canceled,
}

impl RefundStatus {
    /// Whether the refund holds a part of the charge.
    pub(super) fn holds(self) -> bool {
        matches!(self, Self::Pending | Self::Succeeded)
    }
}

/// A refund.
#[derive(Clone, Debug, Serialize)]
pub struct Refund {
    /// `re_…`
    pub id: String,
    /// What is refunded.
    pub payment_intent: String,
    /// The charge behind it.
    pub charge: String,
    /// Where it stands.
    pub status: RefundStatus,
    /// Minor units.
    pub amount: i64,
    /// Lower-case ISO code.
    pub currency: String,
    /// Unix seconds by the double's clock.
    pub created: i64,
    /// As given.
    pub reason: Option<String>,
    /// The caller's metadata; empty when made in the dashboard.
    pub metadata: BTreeMap<String, String>,
    /// Why it failed.
    pub failure_reason: Option<String>,
}

/// What has an id.
pub(super) trait Row {
    fn id(&self) -> &str;
    fn created(&self) -> i64;
}

macro_rules! row {
    ($($name:ty),*) => { $(impl Row for $name {
        fn id(&self) -> &str { &self.id }
        fn created(&self) -> i64 { self.created }
    })* };
}
row!(Session, PaymentIntent, Refund);

/// Rows in the order of their creation, found by id.
#[derive(Debug)]
pub(super) struct Table<T> {
    rows: Vec<T>,
    index: HashMap<String, usize>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), index: HashMap::new() }
    }
}

impl<T: Row> Table<T> {
    pub(super) fn insert(&mut self, row: T) {
        self.index.insert(row.id().to_owned(), self.rows.len());
        self.rows.push(row);
    }

    pub(super) fn get(&self, id: &str) -> Option<&T> {
        self.index.get(id).map(|at| &self.rows[*at])
    }

    pub(super) fn get_mut(&mut self, id: &str) -> Option<&mut T> {
        self.index.get(id).map(|at| &mut self.rows[*at])
    }

    pub(super) fn rows(&self) -> &[T] {
        &self.rows
    }

    pub(super) fn position(&self, id: &str) -> Option<usize> {
        self.index.get(id).copied()
    }
}
