//! Stripe's objects, read leniently: what we need, and nothing else.

use bookings::RefundStatus;
use serde::{Deserialize, Deserializer};
use std::collections::HashMap;

/// A Checkout session.
#[derive(Clone, Debug, Deserialize)]
pub struct CheckoutSession {
    /// Its id.
    pub id: String,
    /// Unix seconds.
    #[serde(default)]
    pub created: i64,
    /// `open`, `complete` or `expired`.
    #[serde(default)]
    pub status: Option<String>,
    /// `paid`, `unpaid` or `no_payment_required`.
    #[serde(default)]
    pub payment_status: Option<String>,
    /// Where the customer pays, while it is open.
    #[serde(default)]
    pub url: Option<String>,
    /// The payment, once there is one.
    #[serde(default, deserialize_with = "id_or_object")]
    pub payment_intent: Option<String>,
    /// Minor units.
    #[serde(default)]
    pub amount_total: Option<i64>,
    /// Currency.
    #[serde(default)]
    pub currency: Option<String>,
    /// Ours is `booking_id` and `operation_id`.
    #[serde(default)]
    pub metadata: Option<HashMap<String, String>>,
}

/// A refund.
#[derive(Clone, Debug, Deserialize)]
pub struct Refund {
    /// Its id.
    pub id: String,
    /// Unix seconds.
    #[serde(default)]
    pub created: i64,
    /// Minor units.
    #[serde(default)]
    pub amount: i64,
    /// `pending`, `requires_action`, `succeeded`, `failed` or `canceled`.
    #[serde(default)]
    pub status: Option<String>,
    /// The payment that it returns.
    #[serde(default, deserialize_with = "id_or_object")]
    pub payment_intent: Option<String>,
    /// Ours is `booking_id` and `operation_id`.
    #[serde(default)]
    pub metadata: Option<HashMap<String, String>>,
}

/// A charge, as `charge.refunded` brings it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Charge {
    #[serde(default)]
    pub(crate) amount_refunded: i64,
    #[serde(default, deserialize_with = "id_or_object")]
    pub(crate) payment_intent: Option<String>,
}

/// A payment, with its charge.
#[derive(Debug, Deserialize)]
pub(super) struct PaymentIntent {
    #[serde(default)]
    pub(super) latest_charge: Option<PaidCharge>,
}

#[derive(Debug, Deserialize)]
pub(super) struct PaidCharge {
    pub(super) created: i64,
}

/// A page of a list.
#[derive(Debug, Deserialize)]
pub(super) struct Page<T> {
    pub(super) data: Vec<T>,
    #[serde(default)]
    pub(super) has_more: bool,
}

/// The body of an error.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ErrorBody {
    #[serde(default)]
    pub(super) error: ErrorFields,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct ErrorFields {
    #[serde(default, rename = "type")]
    pub(super) kind: Option<String>,
    #[serde(default)]
    pub(super) code: Option<String>,
    #[serde(default)]
    pub(super) param: Option<String>,
}

/// How far a refund is, in our terms. An unknown word is one that Stripe added: nothing is settled by it.
pub fn fact_status(status: Option<&str>) -> RefundStatus {
    match status {
        Some("succeeded") => RefundStatus::Succeeded,
        Some("failed" | "canceled") => RefundStatus::Failed,
        _ => RefundStatus::Pending,
    }
}

/// Stripe writes a reference as an id, or as the whole object when it was expanded.
fn id_or_object<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Reference {
        Id(String),
        Object { id: String },
    }
    Ok(Option::<Reference>::deserialize(deserializer)?.map(|reference| match reference {
        Reference::Id(id) | Reference::Object { id } => id,
    }))
}
