//! Our deliveries look like Calendly's.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;
use tests::calendly::{Delivery, Invitee, SIGNATURE_HEADER, Signer, post};

fn fixture(name: &str) -> Value {
    let path = format!("{}/../schemas/tests/fixtures/calendly/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn keys(value: &Value) -> BTreeSet<&String> {
    value.as_object().unwrap().keys().collect()
}

fn field<'a>(delivery: &'a Delivery, pointer: &str) -> &'a Value {
    delivery.json().pointer(pointer).unwrap()
}

#[test]
fn a_booking_has_the_fields_of_a_recorded_one() {
    let recorded = fixture("captured2026_invitee_created_zoom_api");
    let delivery = Invitee::new(1).created();
    for part in ["", "/payload", "/payload/scheduled_event", "/payload/tracking"] {
        assert_eq!(keys(field(&delivery, part)), keys(recorded.pointer(part).unwrap()), "{part}");
    }
    let written = |value: &Value| value.as_str().unwrap().len();
    assert_eq!(written(field(&delivery, "/created_at")), written(&recorded["created_at"]));
    assert_eq!(serde_json::from_slice::<Value>(&delivery.body()).unwrap(), *delivery.json());
}

#[test]
fn a_cancellation_has_the_fields_of_the_documented_one() {
    let documented = fixture("official_invitee_canceled");
    let delivery = Invitee::new(1).canceled();
    assert_eq!(keys(field(&delivery, "/payload/cancellation")), keys(&documented["payload"]["cancellation"]));
    assert_eq!(field(&delivery, "/payload/status"), "canceled");
    let legacy = delivery.legacy();
    assert!(legacy.json().pointer("/payload/cancellation").is_none());
}

#[test]
fn a_reschedule_links_the_invitees() {
    let old = Invitee::new(1).reference("b-1").payment(50.0, "USD", true);
    let new = old.moved();
    assert!(old.uri != new.uri && old.event_uri != new.event_uri && old.email == new.email);
    let (canceled, created) = old.reschedule_pair(&new);
    assert_eq!(field(&canceled, "/payload/new_invitee"), &new.uri);
    assert_eq!(field(&canceled, "/payload/rescheduled"), true);
    assert_eq!(field(&created, "/payload/old_invitee"), &old.uri);
    assert_eq!(field(&created, "/payload/tracking/utm_content"), "booking:b-1");
    assert_eq!(field(&canceled, "/created_at"), field(&created, "/created_at"));
    assert_eq!(field(&new.rescheduled_event(), "/event"), "invitee.rescheduled");
    assert_eq!(field(&new.rescheduled_event(), "/payload"), field(&created, "/payload"));
    assert_ne!(new.moved().uri, new.uri);
}

#[test]
fn deliveries_can_be_bent() {
    let at: Timestamp = "2026-01-02T03:04:05.5Z".parse().unwrap();
    let one = Invitee::new(1);
    let delivery = one.canceled().occurred(at).created_by("https://api.calendly.com/users/x").event("x.y");
    for time in ["/created_at", "/payload/updated_at", "/payload/cancellation/created_at"] {
        assert_eq!(field(&delivery, time), "2026-01-02T03:04:05.500000Z");
    }
    assert_eq!(field(&delivery, "/event"), "x.y");
    let (a, b) = (Invitee::new(1), one.in_same_event(2));
    assert!(a.uri == one.uri && b.event_uri == one.event_uri && b.uri != one.uri && b.email != one.email);
    assert_ne!(Invitee::random().uri, Invitee::random().uri);
}

#[tokio::test]
async fn posts_are_signed() {
    let app = axum::Router::new().fallback(async |headers: axum::http::HeaderMap, body: String| {
        format!("{} {body}", headers[SIGNATURE_HEADER].to_str().unwrap())
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/webhooks/calendly", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let (status, echo) = post(&url, "key", "{}").await.unwrap();
    let (header, body) = echo.split_once(' ').unwrap();
    let time: i64 = header.strip_prefix("t=").unwrap().split_once(',').unwrap().0.parse().unwrap();
    assert_eq!((status, body), (200, "{}"));
    assert_eq!(header, Signer::new("key").header(time, b"{}"));
}
