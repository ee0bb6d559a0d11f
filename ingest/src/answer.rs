//! The answers of the contract, word for word.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::signature::probe;

/// What a webhook request came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The event is durable in Kafka.
    Accepted,
    /// The event is durable in the spool.
    Spooled,
    /// The signature is missing, malformed or wrong.
    InvalidSignature,
    /// The signature is right, and too old or too far ahead.
    StaleSignature,
    /// Authentic, but unusable; the body is kept in the DLQ.
    InvalidPayload,
    /// The body is over `MAX_BODY_BYTES`.
    TooLarge,
    /// The body did not come in time.
    TooSlow,
    /// The event could not be made durable: the sender has to come again.
    Unavailable,
    /// The same, for want of memory.
    NoRoom,
    /// An operator's probe is authentic, and nothing came of it.
    Probed,
}

impl Answer {
    /// Every value of the `outcome` label.
    pub const OUTCOMES: [&'static str; 7] =
        ["accepted", "spooled", "invalid_signature", "stale_signature", "invalid_payload", "too_large", "unavailable"];

    /// The value of the `outcome` label; a request that never came whole has none, nor has a probe.
    pub fn outcome(self) -> Option<&'static str> {
        match self {
            Self::Accepted => Some("accepted"),
            Self::Spooled => Some("spooled"),
            Self::InvalidSignature => Some("invalid_signature"),
            Self::StaleSignature => Some("stale_signature"),
            Self::InvalidPayload => Some("invalid_payload"),
            Self::TooLarge => Some("too_large"),
            Self::Unavailable | Self::NoRoom => Some("unavailable"),
            Self::TooSlow | Self::Probed => None,
        }
    }

    /// The status of the answer.
    pub fn status(self) -> StatusCode {
        self.parts().0
    }

    fn parts(self) -> (StatusCode, &'static str) {
        match self {
            Self::Accepted | Self::Spooled => (StatusCode::OK, r#"{"success":true}"#),
            Self::Probed => (StatusCode::OK, probe::ANSWER),
            Self::InvalidSignature | Self::StaleSignature => {
                (StatusCode::UNAUTHORIZED, r#"{"error":"Invalid signature"}"#)
            }
            Self::InvalidPayload => (StatusCode::BAD_REQUEST, r#"{"error":"Invalid payload"}"#),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, r#"{"error":"Payload too large"}"#),
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, r#"{"error":"Request timeout"}"#),
            Self::Unavailable | Self::NoRoom => {
                (StatusCode::SERVICE_UNAVAILABLE, r#"{"error":"Temporarily unavailable"}"#)
            }
        }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let (status, body) = self.parts();
        let mut response = (status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
        let headers = response.headers_mut();
        if matches!(self, Self::Unavailable | Self::NoRoom) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("10"));
        }
        // The rest of the body is not read, so the connection cannot be used again.
        if matches!(self, Self::TooLarge | Self::TooSlow | Self::NoRoom) {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_among_the_contracts() {
        for answer in [
            Answer::Accepted,
            Answer::Spooled,
            Answer::InvalidSignature,
            Answer::StaleSignature,
            Answer::InvalidPayload,
            Answer::TooLarge,
            Answer::Unavailable,
        ] {
            assert!(answer.outcome().is_some_and(|outcome| Answer::OUTCOMES.contains(&outcome)), "{answer:?}");
        }
        assert_eq!(Answer::TooSlow.outcome(), None);
    }

    #[test]
    fn only_a_refusal_for_now_says_when_to_come_again() {
        let retry_after = |answer: Answer| answer.into_response().headers().contains_key(header::RETRY_AFTER);
        assert!(retry_after(Answer::Unavailable));
        assert!(!retry_after(Answer::Accepted) && !retry_after(Answer::InvalidSignature));
    }
}
