//! The headers of an authentic body that is no event.

use jiff::Timestamp;
use schemas::InvalidPayload;
use schemas::headers::{EventHeaders, RetryHeaders};
use schemas::ladder::ErrorClass;
use serde::Deserialize;
use uuid::Uuid;

/// The namespace of these bodies' ids.
const NAMESPACE: Uuid = Uuid::from_u128(0x0d4f_64f2_7a55_4d51_8a0c_9f5e_2f6a_11c3);
const UNKNOWN: &str = "unknown";

/// Where the vendors write an event's type.
#[derive(Default, Deserialize)]
struct Typed {
    /// Calendly.
    event: Option<serde_json::Value>,
    /// Stripe.
    r#type: Option<serde_json::Value>,
}

/// The same body has the same id, so that a redelivery is seen as one. The type is the body's, as far as it can be read.
pub(super) fn event_headers(body: &[u8], received_at: Timestamp, traceparent: String) -> EventHeaders {
    let typed: Typed = serde_json::from_slice(body).unwrap_or_default();
    let texts = [&typed.event, &typed.r#type].into_iter().flatten().filter_map(serde_json::Value::as_str);
    let event_type = texts.into_iter().find(|text| !text.is_empty()).unwrap_or(UNKNOWN).to_owned();
    EventHeaders { event_id: Uuid::new_v5(&NAMESPACE, body).to_string(), event_type, received_at, traceparent }
}

/// It failed here and now, and was never in the topic that it was meant for.
pub(super) fn retry_headers(reason: InvalidPayload, meant_for: &str, now: Timestamp) -> RetryHeaders {
    RetryHeaders {
        attempt: 0,
        due_at: now,
        first_failed_at: now,
        failed_at: now,
        error_class: ErrorClass::InvalidPayload,
        error: reason.to_string(),
        origin_topic: meant_for.to_owned(),
        origin_partition: -1,
        origin_offset: -1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event_type(body: &[u8]) -> String {
        event_headers(body, Timestamp::UNIX_EPOCH, String::new()).event_type
    }

    #[test]
    fn the_type_is_kept_when_it_can_be_read() {
        assert_eq!(event_type(br#"{"event":"invitee.created","payload":{}}"#), "invitee.created");
        assert_eq!(event_type(br#"{"type":"refund.updated"}"#), "refund.updated");
        for unreadable in [&b""[..], b"\xff", b"[]", b"{", br#"{"event":1}"#, br#"{"event":""}"#, b"null"] {
            assert_eq!(event_type(unreadable), UNKNOWN, "{unreadable:?}");
        }
    }

    #[test]
    fn a_redelivery_has_the_same_id() {
        let id = |body: &[u8]| event_headers(body, Timestamp::now(), String::new()).event_id;
        assert_eq!(id(b"{}"), id(b"{}"));
        assert_ne!(id(b"{}"), id(b"{ }"));
    }

    #[test]
    fn it_is_no_retry_and_came_from_no_topic() {
        let headers = retry_headers(InvalidPayload::NotUtf8, "calendly.events", Timestamp::UNIX_EPOCH);
        assert_eq!((headers.attempt, headers.origin_partition, headers.origin_offset), (0, -1, -1));
        assert_eq!(
            (headers.error_class, headers.origin_topic.as_str()),
            (ErrorClass::InvalidPayload, "calendly.events")
        );
    }
}
