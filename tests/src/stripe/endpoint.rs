//! The part of Stripe's API that the double has.

use serde::{Deserialize, Serialize};

/// One endpoint of Stripe's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// `POST /v1/checkout/sessions`
    CreateSession,
    /// `GET /v1/checkout/sessions/{id}`
    GetSession,
    /// `GET /v1/checkout/sessions`
    ListSessions,
    /// `POST /v1/checkout/sessions/{id}/expire`
    ExpireSession,
    /// `POST /v1/refunds`
    CreateRefund,
    /// `GET /v1/refunds/{id}`
    GetRefund,
    /// `GET /v1/refunds`
    ListRefunds,
    /// `GET /v1/payment_intents/{id}`
    GetPaymentIntent,
    /// `GET /v1/balance`
    Balance,
    /// `GET /v1/account`
    Account,
}

impl Endpoint {
    /// Finds the endpoint and the id in the path.
    pub(super) fn route(method: &str, path: &str) -> Option<(Self, String)> {
        let parts: Vec<&str> = path.strip_prefix("/v1/")?.split('/').collect();
        let (endpoint, id) = match (method, parts.as_slice()) {
            ("POST", ["checkout", "sessions"]) => (Self::CreateSession, ""),
            ("GET", ["checkout", "sessions"]) => (Self::ListSessions, ""),
            ("GET", ["checkout", "sessions", id]) => (Self::GetSession, *id),
            ("POST", ["checkout", "sessions", id, "expire"]) => (Self::ExpireSession, *id),
            ("POST", ["refunds"]) => (Self::CreateRefund, ""),
            ("GET", ["refunds"]) => (Self::ListRefunds, ""),
            ("GET", ["refunds", id]) => (Self::GetRefund, *id),
            ("GET", ["payment_intents", id]) => (Self::GetPaymentIntent, *id),
            ("GET", ["balance"]) => (Self::Balance, ""),
            ("GET", ["account"]) => (Self::Account, ""),
            _ => return None,
        };
        Some((endpoint, id.to_owned()))
    }

    /// Whether the endpoint changes something, so that idempotency keys count.
    pub fn is_write(self) -> bool {
        matches!(self, Self::CreateSession | Self::ExpireSession | Self::CreateRefund)
    }
}
