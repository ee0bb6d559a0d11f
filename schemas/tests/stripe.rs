//! Stripe's deliveries are read as they are meant.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail loudly")]

use jiff::Timestamp;
use schemas::{InvalidPayload, StripeEvent, stripe};

fn now() -> Timestamp {
    Timestamp::from_microsecond(1_782_864_000_123_456).unwrap()
}

fn stripe_event(object: &str) -> String {
    format!(
        r#"{{"id":"evt_1","object":"event","type":"refund.updated","created":1234567890,"data":{{"object":{object}}}}}"#
    )
}

fn stripe_parsed(body: &str) -> (String, StripeEvent) {
    let delivery = stripe::Delivery::parse(body.as_bytes()).unwrap();
    (delivery.partition_key(), delivery.into_event(now()))
}

#[test]
fn stripes_objects_are_read() {
    for (object, id) in [
        (include_str!("fixtures/stripe/fixture_charge.json"), "ch_1PgafuB7WZ01zgkWXYmPNZs8"),
        (
            include_str!("fixtures/stripe/fixture_checkout_session.json"),
            "cs_test_a1YS1URlnyQCN5fUUduORoQ7Pw41PJqDWkIVQCpJPqkfIhd6tVY8XB1OLY",
        ),
        (include_str!("fixtures/stripe/fixture_payment_intent.json"), "pi_1PgafyB7WZ01zgkWSjxsAJo3"),
        (include_str!("fixtures/stripe/fixture_refund.json"), "re_1Pgc72B7WZ01zgkWqPvrRrPE"),
    ] {
        let body = stripe_event(object);
        let (key, event) = stripe_parsed(&body);
        assert_eq!((key.as_str(), event.object_id.as_deref()), (id, Some(id)));
        assert_eq!((event.event_id.as_str(), event.event_type.as_str()), ("evt_1", "refund.updated"));
        assert_eq!(event.occurred_at.to_string(), "2009-02-13T23:31:30Z");
        assert_eq!((event.booking_id.as_deref(), event.payload.as_str()), (None, body.as_str()));
    }
}

#[test]
fn stripes_booking_reference_is_the_key() {
    for (object, key, booking) in [
        (r#"{"id":"cs_1","client_reference_id":"b1","metadata":{"booking_id":"b2"}}"#, "b1", Some("b1")),
        (r#"{"id":"cs_1","client_reference_id":null,"metadata":{"booking_id":"b2"}}"#, "b2", Some("b2")),
        (r#"{"id":"cs_1","client_reference_id":"","metadata":{"booking_id":"b2"}}"#, "b2", Some("b2")),
        (r#"{"id":"cs_1","client_reference_id":5,"metadata":[]}"#, "cs_1", None),
        (r#"{"id":7}"#, "evt_1", None),
        ("[]", "evt_1", None),
    ] {
        let (actual, event) = stripe_parsed(&stripe_event(object));
        assert_eq!((actual.as_str(), event.booking_id.as_deref()), (key, booking), "{object}");
    }
}

#[test]
fn stripe_needs_an_id_and_a_type() {
    for (body, field) in [
        ("{}", "id"),
        (r#"{"id":1,"type":"t"}"#, "id"),
        (r#"{"id":"evt_1"}"#, "type"),
        (r#"{"id":"evt_1","type":null}"#, "type"),
    ] {
        let reason = InvalidPayload::Field { field, expected: "a string" };
        assert_eq!(stripe::Delivery::parse(body.as_bytes()).err(), Some(reason), "{body}");
    }
    assert_eq!(stripe::Delivery::parse(b"[]").err(), Some(InvalidPayload::NotAnObject));
    for created in ["null", "1.5", "\"1\"", "99999999999999", "1e400"] {
        let body = format!(r#"{{"id":"e","type":"t","created":{created},"data":3}}"#);
        let (key, event) = stripe_parsed(&body);
        assert_eq!((key.as_str(), event.occurred_at), ("e", event.received_at), "{created}");
    }
}
