//! Every request that the double received, for tests to look at.

use serde::Serialize;

use super::endpoint::Endpoint;
use super::faults::Fault;
use super::params::Params;

/// One request as it was received and answered.
#[derive(Clone, Debug, Serialize)]
pub struct Received {
    /// The `Request-Id` of the answer.
    pub id: String,
    /// `GET` or `POST`.
    pub method: String,
    /// Without the query.
    pub path: String,
    /// The endpoint; absent when there is no such one.
    pub endpoint: Option<Endpoint>,
    /// Of the query or the body.
    pub params: Params,
    /// `Idempotency-Key`, as sent.
    pub idempotency_key: Option<String>,
    /// The answer's status; absent while unanswered, and for ever when the connection was cut.
    pub status: Option<u16>,
    /// Whether the request took effect, or was looked at and refused, rather than refused beforehand or replayed.
    pub executed: bool,
    /// Whether the answer was a saved one.
    pub replayed: bool,
    /// The injected fault that hit it.
    pub fault: Option<Fault>,
}
