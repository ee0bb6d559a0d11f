//! Injected failures: which request they hit, how often, and what they do.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::endpoint::Endpoint;
use super::error::{Answer, Refusal};
use super::params::Params;

/// What goes wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Fault {
    /// An answer before execution begins: nothing happens, nothing is saved.
    Status {
        /// The HTTP status.
        status: u16,
        /// `error.code`.
        #[serde(default)]
        code: Option<String>,
        /// Seconds for `Retry-After`.
        #[serde(default)]
        retry_after: Option<u64>,
        /// `Stripe-Should-Retry`.
        #[serde(default)]
        should_retry: Option<bool>,
    },
    /// Not executed, yet a 500 is saved under the idempotency key and replayed for ever.
    Saved500,
    /// Executed, but the answer is a 500, which is saved and replayed.
    ExecuteThen500,
    /// Executed and saved; the answer is held back until [`release`](super::StripeDouble::release).
    ExecuteThenHang,
    /// Held back before execution with the key in use (409 for others); executes on release though the client be gone.
    HangThenExecute,
    /// Executed and saved; the connection is cut instead of an answer.
    ExecuteThenDrop,
    /// The connection is cut before anything happens.
    DropBefore,
    /// Nothing wrong, only slow: this many milliseconds before execution.
    Delay {
        /// How long.
        millis: u64,
    },
    /// The customer pays the session just before the request executes (for `ExpireSession` and `GetSession`).
    PayFirst,
}

impl Fault {
    /// An unsaved answer of this status.
    pub fn status(status: u16) -> Self {
        Self::Status { status, code: None, retry_after: None, should_retry: None }
    }

    /// An unsaved answer of this status and `error.code`.
    pub fn status_with_code(status: u16, code: &str) -> Self {
        Self::Status { status, code: Some(code.to_owned()), retry_after: None, should_retry: None }
    }

    /// An unsaved answer of this status with `Stripe-Should-Retry`.
    pub fn status_should_retry(status: u16, should_retry: bool) -> Self {
        Self::Status { status, code: None, retry_after: None, should_retry: Some(should_retry) }
    }

    /// 429 with `Retry-After`.
    pub fn rate_limited(retry_after: Option<u64>) -> Self {
        Self::Status { status: 429, code: Some("rate_limit".to_owned()), retry_after, should_retry: None }
    }

    /// A slow answer.
    pub fn delay(by: Duration) -> Self {
        Self::Delay { millis: u64::try_from(by.as_millis()).unwrap_or(u64::MAX) }
    }

    /// Whether the fault needs the request to execute; a replayed answer leaves such a fault for the next request.
    fn needs_execution(&self) -> bool {
        match self {
            Self::Saved500 | Self::ExecuteThen500 | Self::HangThenExecute | Self::PayFirst => true,
            Self::Status { .. }
            | Self::ExecuteThenHang
            | Self::ExecuteThenDrop
            | Self::DropBefore
            | Self::Delay { .. } => false,
        }
    }

    pub(super) fn refusal(status: u16, code: Option<&str>) -> Refusal {
        let (kind, default, message) = match status {
            401 => ("invalid_request_error", None, "Invalid API Key provided."),
            402 => ("card_error", Some("card_declined"), "Your card was declined."),
            403 => ("invalid_request_error", None, "The provided key does not have the required permissions."),
            409 => ("invalid_request_error", Some("lock_timeout"), "This object cannot be accessed right now."),
            429 => ("invalid_request_error", Some("rate_limit"), "Request rate limit exceeded."),
            500.. => ("api_error", None, "An error occurred with our connection to Stripe."),
            _ => ("invalid_request_error", None, "Invalid request (injected)."),
        };
        let refusal = Refusal::new(status, kind, message);
        match code.or(default) {
            Some(code) => refusal.code(code),
            None => refusal,
        }
    }

    /// The answer of a [`Fault::Status`].
    pub(super) fn answer(&self) -> Option<Answer> {
        let Self::Status { status, code, retry_after, should_retry } = self else { return None };
        let mut refusal = Self::refusal(*status, code.as_deref());
        if let Some(seconds) = retry_after {
            refusal = refusal.header("Retry-After", seconds.to_string());
        }
        if let Some(should) = should_retry {
            refusal = refusal.header("Stripe-Should-Retry", should.to_string());
        }
        Some(refusal.into_answer())
    }
}

type Predicate = Arc<dyn Fn(&Params) -> bool + Send + Sync>;

/// A fault with the requests that it hits: by default the next one of any kind.
#[derive(Clone, Serialize, Deserialize)]
pub struct Injection {
    /// Only this endpoint; any when absent.
    #[serde(default)]
    pub endpoint: Option<Endpoint>,
    /// What goes wrong.
    pub fault: Fault,
    /// How many requests it hits; all of them when absent.
    #[serde(default = "once")]
    pub times: Option<u32>,
    /// Only requests with these values (full parameter names; `id` is the one in the path).
    #[serde(default)]
    pub params: BTreeMap<String, String>,
    #[serde(skip)]
    predicate: Option<Predicate>,
}

// Read by serde for an absent field, which must differ from an explicit null.
#[allow(clippy::unnecessary_wraps, reason = "serde wants a function of the field's type")]
fn once() -> Option<u32> {
    Some(1)
}

impl Injection {
    /// Hits the next request to this endpoint.
    pub fn on(endpoint: Endpoint, fault: Fault) -> Self {
        Self { endpoint: Some(endpoint), ..Self::any(fault) }
    }

    /// Hits the next request, whatever it is.
    pub fn any(fault: Fault) -> Self {
        Self { endpoint: None, fault, times: Some(1), params: BTreeMap::new(), predicate: None }
    }

    /// Hits so many requests.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// Hits every request until cleared.
    #[must_use]
    pub fn always(mut self) -> Self {
        self.times = None;
        self
    }

    /// Only requests with this parameter.
    #[must_use]
    pub fn param(mut self, name: &str, value: &str) -> Self {
        self.params.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Only requests whose parameters satisfy this.
    #[must_use]
    pub fn when(mut self, holds: impl Fn(&Params) -> bool + Send + Sync + 'static) -> Self {
        self.predicate = Some(Arc::new(holds));
        self
    }

    fn hits(&self, endpoint: Endpoint, id: &str, params: &Params, replay: bool) -> bool {
        let value = |name: &str| if name == "id" { Some(id) } else { params.get(name) };
        self.endpoint.is_none_or(|want| want == endpoint)
            && self.params.iter().all(|(name, want)| value(name) == Some(want))
            && self.predicate.as_ref().is_none_or(|holds| holds(params))
            && !(replay && self.fault.needs_execution())
    }
}

/// The faults that wait for their request, first in, first out.
#[derive(Default)]
pub(super) struct Faults(VecDeque<Injection>);

impl Faults {
    pub(super) fn push(&mut self, injection: Injection) {
        self.0.push_back(injection);
    }

    pub(super) fn clear(&mut self, endpoint: Option<Endpoint>) {
        self.0.retain(|injection| endpoint.is_some() && injection.endpoint != endpoint);
    }

    pub(super) fn left(&self) -> usize {
        self.0.len()
    }

    /// The fault for this request, if any; `replay` when the request will be answered from a saved answer.
    pub(super) fn take(&mut self, endpoint: Endpoint, id: &str, params: &Params, replay: bool) -> Option<Fault> {
        let at = self.0.iter().position(|injection| injection.hits(endpoint, id, params, replay))?;
        let injection = &mut self.0[at];
        let fault = injection.fault.clone();
        if let Some(times) = &mut injection.times {
            *times = times.saturating_sub(1);
            if *times == 0 {
                self.0.remove(at);
            }
        }
        Some(fault)
    }
}
