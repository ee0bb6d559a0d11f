//! What a request to Stripe can come to, as far as it matters for what to do next.

use std::time::Duration;

/// A request failed. The text names codes and the request id only: Stripe's messages may quote what we sent.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StripeError {
    /// No connection: nothing was sent.
    #[error("Stripe cannot be reached ({operation})")]
    Unreachable {
        /// What was tried.
        operation: &'static str,
    },
    /// The connection broke or the time ran out: whether it was done is unknown.
    #[error("Stripe's answer did not come ({operation})")]
    Broken {
        /// What was tried.
        operation: &'static str,
    },
    /// 429. Nothing was done.
    #[error("Stripe's rate limit was hit ({operation})")]
    RateLimited {
        /// What was tried.
        operation: &'static str,
        /// The pause that Stripe asks for.
        retry_after: Option<Duration>,
    },
    /// 409: the same key is being executed right now.
    #[error("Stripe is busy with the same request ({operation})")]
    Conflict {
        /// What was tried.
        operation: &'static str,
    },
    /// 400 `idempotency_error`: the key was used with other parameters.
    #[error("Stripe has seen this idempotency key with other parameters ({operation})")]
    KeyReused {
        /// What was tried.
        operation: &'static str,
    },
    /// 5xx: saved under the key, and whether it was done is unknown.
    #[error("Stripe failed with {status} ({operation}, request {request})")]
    Server {
        /// What was tried.
        operation: &'static str,
        /// HTTP status.
        status: u16,
        /// Stripe's `Request-Id`.
        request: String,
        /// The pause that Stripe asks for.
        retry_after: Option<Duration>,
    },
    /// 401 or 403: the key is wrong, revoked or lacks a permission. Nothing was done.
    #[error("Stripe refuses the key with {status} ({operation}, request {request}); check STRIPE_SECRET_KEY")]
    Credentials {
        /// What was tried.
        operation: &'static str,
        /// HTTP status.
        status: u16,
        /// Stripe's `Request-Id`.
        request: String,
    },
    /// Any other 4xx: Stripe will never do it. Nothing was done.
    #[error("Stripe refuses with {status} {code} {param} ({operation}, request {request})")]
    Refused {
        /// What was tried.
        operation: &'static str,
        /// HTTP status.
        status: u16,
        /// Stripe's `error.code`, or its `error.type`.
        code: String,
        /// The parameter that Stripe dislikes.
        param: String,
        /// Stripe's `Request-Id`.
        request: String,
    },
    /// Stripe says not to try again, and whether it was done is unknown.
    #[error("Stripe failed with {status} and says not to try again ({operation}, request {request})")]
    GaveUp {
        /// What was tried.
        operation: &'static str,
        /// HTTP status.
        status: u16,
        /// Stripe's `Request-Id`.
        request: String,
    },
    /// A success that cannot be read: it was done, and looking it up will tell.
    #[error("Stripe's answer cannot be read ({operation}, request {request})")]
    Unreadable {
        /// What was tried.
        operation: &'static str,
        /// Stripe's `Request-Id`.
        request: String,
    },
}

impl StripeError {
    /// The pause that Stripe asked for.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } | Self::Server { retry_after, .. } => *retry_after,
            Self::Unreachable { .. }
            | Self::Broken { .. }
            | Self::Conflict { .. }
            | Self::KeyReused { .. }
            | Self::Credentials { .. }
            | Self::Refused { .. }
            | Self::GaveUp { .. }
            | Self::Unreadable { .. } => None,
        }
    }

    /// The key cannot bring the answer any more: look the object up, and act under a new key only if it is not there.
    pub fn spends_key(&self) -> bool {
        match self {
            Self::Server { .. } | Self::GaveUp { .. } | Self::KeyReused { .. } | Self::Unreadable { .. } => true,
            Self::Unreachable { .. }
            | Self::Broken { .. }
            | Self::RateLimited { .. }
            | Self::Conflict { .. }
            | Self::Credentials { .. }
            | Self::Refused { .. } => false,
        }
    }

    /// Stripe may have done it all the same.
    pub fn may_be_done(&self) -> bool {
        match self {
            Self::Broken { .. }
            | Self::Conflict { .. }
            | Self::KeyReused { .. }
            | Self::Server { .. }
            | Self::GaveUp { .. }
            | Self::Unreadable { .. } => true,
            Self::Unreachable { .. } | Self::RateLimited { .. } | Self::Credentials { .. } | Self::Refused { .. } => {
                false
            }
        }
    }

    /// Stripe will not do it, whatever we try.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::GaveUp { .. })
    }

    /// Stripe refused with this `error.code`.
    pub fn has_code(&self, wanted: &str) -> bool {
        matches!(self, Self::Refused { code, .. } if code == wanted)
    }

    /// Every value of the `outcome` label, success apart.
    pub const OUTCOMES: [&'static str; 10] = [
        "unreachable",
        "no_answer",
        "rate_limited",
        "conflict",
        "key_reused",
        "server_error",
        "credentials",
        "refused",
        "gave_up",
        "unreadable",
    ];

    /// The value of the `outcome` label.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::Broken { .. } => "no_answer",
            Self::RateLimited { .. } => "rate_limited",
            Self::Conflict { .. } => "conflict",
            Self::KeyReused { .. } => "key_reused",
            Self::Server { .. } => "server_error",
            Self::Credentials { .. } => "credentials",
            Self::Refused { .. } => "refused",
            Self::GaveUp { .. } => "gave_up",
            Self::Unreadable { .. } => "unreadable",
        }
    }
}
