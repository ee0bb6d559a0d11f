//! Every captured delivery of Calendly is read as it is meant.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail loudly")]

use jiff::Timestamp;
use schemas::{CalendlyEvent, Framing, InvalidPayload, Invitee, calendly, codec};
use serde_json::{Value, json};
use uuid::Uuid;

const CALENDLY: [(&str, &str); 9] = [
    ("group", include_str!("fixtures/calendly/captured2023_group_event_invitee_created.json")),
    ("crm", include_str!("fixtures/calendly/captured2023_onboarding_session_crm_invitee_created.json")),
    ("zoom", include_str!("fixtures/calendly/captured2026_invitee_created_zoom_api.json")),
    ("no_show", include_str!("fixtures/calendly/captured2026_invitee_no_show_created.json")),
    ("hull", include_str!("fixtures/calendly/hull2020_invitee_created_no_scheduled_event.json")),
    ("legacy", include_str!("fixtures/calendly/legacy_openapi_invitee_created_canceled_flag.json")),
    ("canceled", include_str!("fixtures/calendly/official_invitee_canceled.json")),
    ("created", include_str!("fixtures/calendly/official_invitee_created.json")),
    ("no_show_2020", include_str!("fixtures/calendly/official_invitee_no_show_created.json")),
];
const ROUTING_FORM: &str = include_str!("fixtures/calendly/official_routing_form_submission_created.json");

fn fixture(name: &str) -> &'static str {
    CALENDLY.iter().find(|(known, _)| *known == name).unwrap().1
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    at("2026-07-01T00:00:00.123456789Z")
}

fn parse(body: &str) -> calendly::Delivery<'_> {
    calendly::Delivery::parse(body.as_bytes()).unwrap()
}

fn event(body: &str) -> CalendlyEvent {
    parse(body).into_event(now())
}

fn invitee(body: &str) -> Invitee {
    event(body).invitee.unwrap()
}

/// The fixture with some changes.
fn edited(name: &str, edit: impl FnOnce(&mut Value)) -> String {
    let mut json: Value = serde_json::from_str(fixture(name)).unwrap();
    edit(&mut json);
    json.to_string()
}

fn id(body: &str) -> Uuid {
    parse(body).event_id()
}

#[test]
fn every_invitee_fixture_is_an_event() {
    for (name, body) in CALENDLY {
        let json: Value = serde_json::from_str(body).unwrap();
        let payload = &json["payload"];
        let delivery = parse(body);
        assert_eq!(delivery.event_type(), json["event"], "{name}");
        assert_eq!(delivery.partition_key(), payload["uri"].as_str().unwrap(), "{name}");
        assert_eq!(delivery.event_id().get_version_num(), 5, "{name}");
        let event = delivery.into_event(now());
        assert_eq!(event.event_id, id(body), "{name}");
        assert_eq!(event.occurred_at, at(json["created_at"].as_str().unwrap()), "{name}");
        assert_eq!(event.received_at, at("2026-07-01T00:00:00.123456Z"), "{name}");
        assert_eq!(event.payload, body, "{name}");
        let invitee = event.invitee.clone().unwrap();
        assert_eq!(invitee.uri, payload["uri"], "{name}");
        assert_eq!(invitee.email.as_deref(), payload["email"].as_str(), "{name}");
        assert_eq!(invitee.name.as_deref(), payload["name"].as_str(), "{name}");
        assert_eq!(invitee.status.as_deref(), payload["status"].as_str(), "{name}");
        assert_eq!(invitee.timezone.as_deref(), payload["timezone"].as_str(), "{name}");
        assert_eq!(invitee.event.as_deref(), payload["event"].as_str(), "{name}");
        assert_eq!(invitee.updated_at, payload["updated_at"].as_str().map(at), "{name}");
        assert_eq!((invitee.rescheduled, invitee.payment), (false, None), "{name}");
        let meeting = payload["scheduled_event"].as_object();
        assert_eq!(event.scheduled_event.is_some(), meeting.is_some(), "{name}");
        let bytes = codec::encode_calendly(&event).unwrap();
        assert_eq!(codec::decode_calendly(&bytes).unwrap(), event, "{name}");
    }
}

/// What is published borrows its texts, as far as it can: escapes have to be undone, and lone surrogates are no text.
#[test]
fn what_is_published_is_the_event() {
    let escaped = fixture("zoom").replace(r#""name": ""#, r#""name": "a\u002d\n"#);
    let odd = fixture("zoom").replace(r#""name": ""#, r#""name": "\ud800"#);
    assert!([&escaped, &odd].iter().all(|body| **body != fixture("zoom")), "the fixture has a name");
    let bodies = CALENDLY.map(|(_, body)| body);
    for body in bodies.into_iter().chain([ROUTING_FORM, &escaped, &odd]) {
        for framing in [Framing::SingleObject, Framing::Confluent(7)] {
            let record = parse(body).into_record(now(), String::new(), framing).unwrap();
            assert_eq!(record.value, codec::encode_calendly_as(&event(body), framing).unwrap(), "{body}");
        }
    }
}

#[test]
fn the_meeting_is_read() {
    let meeting = event(fixture("zoom")).scheduled_event.unwrap();
    assert_eq!(meeting.name.as_deref(), Some("Acme - Intro"));
    assert_eq!(meeting.status.as_deref(), Some("active"));
    assert_eq!(meeting.location_type.as_deref(), Some("zoom"));
    assert_eq!(meeting.start_time, Some(at("2026-06-10T06:30:00Z")));
    assert_eq!(meeting.end_time, Some(at("2026-06-10T07:00:00Z")));
    let event_type = "https://api.calendly.com/event_types/00000000-0000-0000-0000-0000000000e1";
    assert_eq!(meeting.event_type.as_deref(), Some(event_type));
    assert!(meeting.uri.unwrap().ends_with("/scheduled_events/00000000-0000-0000-0000-000000000002"));
}

#[test]
fn a_cancellation_says_who_and_why() {
    let invitee = invitee(fixture("canceled"));
    assert_eq!(invitee.status.as_deref(), Some("canceled"));
    assert_eq!(invitee.canceled_by.as_deref(), Some("John Doe"));
    let json: Value = serde_json::from_str(fixture("canceled")).unwrap();
    let cancellation = &json["payload"]["cancellation"];
    assert_eq!(invitee.canceler_type.as_deref(), cancellation["canceler_type"].as_str());
    assert_eq!(invitee.cancel_reason.as_deref(), cancellation["reason"].as_str());
}

#[test]
fn a_routing_form_submission_is_an_event_without_invitee() {
    let delivery = parse(ROUTING_FORM);
    assert_eq!(delivery.partition_key(), "https://api.calendly.com/routing_form_submissions/AAAAAAAAAAAAAAAA");
    let event = delivery.into_event(now());
    assert_eq!(event.event_type, "routing_form_submission.created");
    assert_eq!(event.occurred_at, at("2022-05-15T14:59:59Z"));
    assert_eq!((event.invitee, event.scheduled_event), (None, None));
    assert_eq!(event.payload, ROUTING_FORM);
}

#[test]
fn the_same_happening_has_the_same_id() {
    for (name, body) in CALENDLY {
        let other = edited(name, |json| json["created_by"] = json!("https://api.calendly.com/users/OTHER"));
        assert_eq!(id(body), id(&other), "{name}");
    }
    let form = ROUTING_FORM.replace("/users/AAAAAAAAAAAAAAAA", "/users/OTHER");
    assert_eq!(id(&form), id(ROUTING_FORM));
    let compact = serde_json::from_str::<Value>(ROUTING_FORM).unwrap().to_string();
    assert_eq!(id(&compact), id(ROUTING_FORM), "formatting is no content");
}

#[test]
fn other_happenings_have_other_ids() {
    let mut ids: Vec<_> = CALENDLY.iter().map(|(_, body)| id(body)).chain([id(ROUTING_FORM)]).collect();
    for body in [
        ROUTING_FORM.replace("2022-05-15T14:59:59", "2022-05-15T14:59:58"),
        ROUTING_FORM.replace("IT & Software", "Farming"),
        edited("no_show", |json| json["payload"]["no_show"]["uri"] = json!("https://api.calendly.com/no_shows/2")),
        edited("no_show", |json| json["event"] = json!("invitee_no_show.deleted")),
        edited("no_show", |json| json["payload"]["no_show"] = Value::Null),
        edited("zoom", |json| json["payload"]["uri"] = json!("https://api.calendly.com/invitees/2")),
        edited("zoom", |json| json["event"] = json!("invitee.canceled")),
        edited("zoom", |json| json["payload"]["uri"] = json!("")),
        edited("hull", |json| json["payload"]["uri"] = json!("")),
    ] {
        ids.push(id(&body));
    }
    ids.sort_unstable();
    // The three official and legacy samples that share "invitees/AAAAAAAAAAAAAAAA" and are `invitee.created`.
    ids.dedup();
    assert_eq!(ids.len(), CALENDLY.len() + 1 + 9 - 1);
    assert_eq!(id(fixture("legacy")), id(fixture("created")));
}

#[test]
fn both_halves_of_a_reschedule_go_by_the_old_invitee() {
    let (old, new) = ("https://api.calendly.com/invitees/OLD", "https://api.calendly.com/invitees/NEW");
    let canceled = edited("canceled", |json| {
        json["payload"]["uri"] = json!(old);
        json["payload"]["rescheduled"] = json!(true);
        json["payload"]["new_invitee"] = json!(new);
        json["payload"]["old_invitee"] = json!("https://api.calendly.com/invitees/OLDER");
    });
    assert_eq!(parse(&canceled).partition_key(), old);
    assert!(invitee(&canceled).rescheduled);
    assert_eq!(invitee(&canceled).new_invitee.as_deref(), Some(new));
    for event in ["invitee.created", "invitee.rescheduled"] {
        let body = edited("zoom", |json| {
            json["event"] = json!(event);
            json["payload"]["uri"] = json!(new);
            json["payload"]["old_invitee"] = json!(old);
        });
        assert_eq!(parse(&body).partition_key(), old, "{event}");
        assert_eq!(invitee(&body).old_invitee.as_deref(), Some(old), "{event}");
    }
    for nothing in [json!(""), json!(null), json!(7), json!({})] {
        let body = edited("zoom", |json| json["payload"]["old_invitee"] = nothing);
        assert_eq!(parse(&body).partition_key(), invitee(&body).uri);
    }
}

#[test]
fn without_any_uri_the_key_is_the_id() {
    let delivery = parse(r#"{"event":"contact.created","payload":{}}"#);
    assert_eq!(delivery.partition_key(), delivery.event_id().to_string());
}

#[test]
fn the_reference_is_read_from_the_tracking() {
    let with = |content: Value| edited("zoom", |json| json["payload"]["tracking"]["utm_content"] = content);
    assert_eq!(invitee(&with(json!("booking:abc-1"))).reference.as_deref(), Some("abc-1"));
    let escaped = with(json!("booking:abc-1")).replace("abc-1", r"abc\u002d1");
    assert_eq!(invitee(&escaped).reference.as_deref(), Some("abc-1"), "one that cannot be borrowed");
    for none in [json!("booking:"), json!("Booking:a"), json!("x booking:a"), json!("abc"), json!(1), json!(null)] {
        assert_eq!(invitee(&with(none.clone())).reference, None, "{none}");
    }
}

#[test]
fn calendlys_own_payment_is_read() {
    let charge = json!({"external_id": "ch_1", "provider": "stripe", "amount": 12.5, "currency": "USD", "terms": "t", "successful": true});
    let with = |charge: Value| invitee(&edited("zoom", |json| json["payload"]["payment"] = charge)).payment;
    let payment = with(charge).unwrap();
    assert_eq!((payment.amount, payment.successful), (Some(12.5), Some(true)));
    assert_eq!(payment.external_id.as_deref(), Some("ch_1"));
    assert_eq!((payment.provider.as_deref(), payment.currency.as_deref()), (Some("stripe"), Some("USD")));
    assert_eq!(with(json!({"amount": 1234})).unwrap().amount, Some(1234.0));
    assert_eq!(with(json!({"amount": "12", "successful": "yes"})), Some(schemas::Payment::default()));
    assert_eq!(with(json!([])), None);
}

#[test]
fn the_time_falls_back_step_by_step() {
    let body = |created: Value, updated_at: Value, created_at: Value| {
        edited("zoom", |json| {
            json["created_at"] = created;
            json["payload"]["updated_at"] = updated_at;
            json["payload"]["created_at"] = created_at;
        })
    };
    let time = json!("2026-01-01T00:00:00Z");
    let occurred = |body: &str| event(body).occurred_at;
    let first = at("2026-01-01T00:00:00Z");
    assert_eq!(
        occurred(&body(json!("2026-01-01T01:00:00.5+01:00"), json!(null), json!(null))),
        at("2026-01-01T00:00:00.5Z")
    );
    assert_eq!(occurred(&body(json!("yesterday"), time.clone(), json!("2025-01-01T00:00:00Z"))), first);
    assert_eq!(occurred(&body(json!(1_700_000_000), json!("soon"), time.clone())), first);
    assert_eq!(occurred(&body(json!(null), json!(null), json!({}))), at("2026-07-01T00:00:00.123456Z"));
}

#[test]
fn wrong_types_read_as_absent() {
    let body = br#"{"event":"invitee.created","created_at":[],"created_by":{},"payload":{"uri":"u","email":1,"name":null,
        "first_name":true,"status":{},"timezone":[],"rescheduled":"true","old_invitee":{"a":1},"new_invitee":0,"event":1e999,
        "tracking":"t","payment":1,"cancellation":"c","no_show":7,"created_at":"x","updated_at":5,
        "scheduled_event":{"uri":1,"start_time":"later","end_time":null,"location":"Rome","name":[[]]},"canceled":true}}"#;
    let event = calendly::Delivery::parse(body).unwrap().into_event(now());
    assert_eq!(event.invitee, Some(Invitee { uri: "u".to_owned(), ..Invitee::default() }));
    assert_eq!(event.scheduled_event, Some(schemas::ScheduledEvent::default()));
    for wrong in [json!(1), json!("text"), json!([]), json!(null), json!(true)] {
        let body = edited("zoom", |json| json["payload"]["scheduled_event"] = wrong);
        assert_eq!(self::event(&body).scheduled_event, None);
    }
}

#[test]
fn odd_but_legal_json_passes() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    for (body, name) in [
        (r#"{"event":"invitee.created","payload":{"uri":"u","name":"a\u0000b"}}"#.to_owned(), Some("a\0b")),
        (r#"{"event":"invitee.created","payload":{"uri":"u","name":"\ud83d"}}"#.to_owned(), None),
        (r#"{"ev\u0065nt":"invitee\u002ecreated","payload":{"\u0075ri":"u","name":"\u00e9"}}"#.to_owned(), Some("é")),
        (
            r#"{"event":"x","event":"invitee.created","payload":1,"payload":{"uri":"u","name":"a","name":"b"}}"#
                .to_owned(),
            Some("b"),
        ),
        (
            r#" {"\ud800":1,"event":"invitee.created","payload":{"uri":"u","\udfff":2,"name":"n"}} "#.to_owned(),
            Some("n"),
        ),
        (format!(r#"{{"event":"invitee.created","more":{deep},"payload":{{"uri":"u","more":{deep}}}}}"#), None),
        (r#"{"event":"invitee.created","payload":{"uri":"u","n":1e999,"m":-0,"name":""}}"#.to_owned(), Some("")),
    ] {
        let event = event(&body);
        assert_eq!(event.event_type, "invitee.created");
        let invitee = event.invitee.unwrap();
        assert_eq!((invitee.uri.as_str(), invitee.name.as_deref()), ("u", name));
        assert_eq!(event.payload, body);
    }
}

#[test]
fn an_unknown_event_passes_whatever_its_payload_holds() {
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    for body in [
        r#"{"event":"","payload":{}}"#.to_owned(),
        r#"{"event":"invitee","payload":{}}"#.to_owned(),
        r#"{"event":"Invitee.created","payload":{}}"#.to_owned(),
        r#"{"event":"invitee_no_show.deleted","payload":{"uri":null}}"#.to_owned(),
        format!(r#"{{"event":"meeting_recap.created","payload":{{"uri":5,"deep":{deep}}}}}"#),
    ] {
        let event = event(&body);
        assert_eq!((event.invitee, event.payload), (None, body));
    }
}

#[test]
fn what_is_no_delivery_is_refused_with_a_reason() {
    let string = |field| InvalidPayload::Field { field, expected: "a string" };
    let object = InvalidPayload::Field { field: "payload", expected: "an object" };
    for (body, reason) in [
        (r"[]", InvalidPayload::NotAnObject),
        (r"null", InvalidPayload::NotAnObject),
        (r#""{}""#, InvalidPayload::NotAnObject),
        (r"12", InvalidPayload::NotAnObject),
        (r"{}", string("event")),
        (r#"{"payload":{}}"#, string("event")),
        (r#"{"event":null,"payload":{}}"#, string("event")),
        (r#"{"event":{},"payload":{}}"#, string("event")),
        (r#"{"event":"\ud800","payload":{}}"#, string("event")),
        (r#"{"event":"contact.created"}"#, object),
        (r#"{"event":"contact.created","payload":null}"#, object),
        (r#"{"event":"contact.created","payload":"{}"}"#, object),
        (r#"{"event":"contact.created","payload":[]}"#, object),
        (r#"{"event":"invitee.created","payload":{}}"#, string("payload.uri")),
        (r#"{"event":"invitee.anything","payload":{"uri":7}}"#, string("payload.uri")),
        (r#"{"event":"invitee.created","payload":{"uri":null}}"#, string("payload.uri")),
        ("", InvalidPayload::NotJson { line: 1, column: 0 }),
        ("{\n\"event\"", InvalidPayload::NotJson { line: 2, column: 7 }),
        (r#"{"event":"a","payload":{}}x"#, InvalidPayload::NotJson { line: 1, column: 27 }),
        (r#"{"event":"a","payload":{},}"#, InvalidPayload::NotJson { line: 1, column: 27 }),
        ("{\"event\":\"a\",\"payload\":{\"name\":\"\u{1}\"}}", InvalidPayload::NotJson { line: 1, column: 32 }),
    ] {
        assert_eq!(calendly::Delivery::parse(body.as_bytes()).err(), Some(reason), "{body}");
    }
    assert_eq!(calendly::Delivery::parse(b"{\"event\":\"\xff\"}").err(), Some(InvalidPayload::NotUtf8));
    assert_eq!(string("payload.uri").to_string(), "`payload.uri` is not a string");
}
