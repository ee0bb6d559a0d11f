//! Avro: what is encoded is decoded, by us and by any other reader, and damage is an error.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail loudly")]

use apache_avro::{Schema, from_avro_datum, rabin::Rabin, to_avro_datum, types::Value};
use jiff::Timestamp;
use proptest::prelude::*;
use schemas::{
    CalendlyEvent, CodecError, Event, Framing, Invitee, Payment, ScheduledEvent, SchemaIds, StripeEvent, WriterSchema,
    codec::{self, CALENDLY_SCHEMA, Kind, STRIPE_SCHEMA},
};
use uuid::Uuid;

fn times() -> impl Strategy<Value = Timestamp> {
    let micros = Timestamp::MIN.as_microsecond()..=Timestamp::MAX.as_microsecond();
    micros.prop_map(|micros| Timestamp::from_microsecond(micros).unwrap())
}

fn maybe_text() -> impl Strategy<Value = Option<String>> {
    any::<Option<String>>()
}

type Filling = (Vec<Option<String>>, Vec<Option<Timestamp>>);

/// Optional texts and times to fill a record with. Boxed: the strategies of a whole event would not fit a test's stack.
fn filling() -> BoxedStrategy<Filling> {
    let times = prop::collection::vec(prop::option::of(times()), 2);
    (prop::collection::vec(maybe_text(), 13), times).boxed()
}

fn payments() -> BoxedStrategy<Payment> {
    let amount = prop::option::of(prop::num::f64::NORMAL);
    let payment = (filling(), amount, any::<Option<bool>>()).prop_map(|((text, _), amount, successful)| {
        let mut text = text.into_iter();
        let mut text = || text.next().flatten();
        Payment { external_id: text(), provider: text(), amount, currency: text(), successful }
    });
    payment.boxed()
}

fn invitees() -> BoxedStrategy<Invitee> {
    let payment = prop::option::of(payments());
    let invitee =
        (any::<String>(), any::<bool>(), payment, filling()).prop_map(|(uri, rescheduled, payment, filling)| {
            let mut text = filling.0.into_iter();
            let mut text = || text.next().flatten();
            Invitee {
                uri,
                email: text(),
                name: text(),
                first_name: text(),
                last_name: text(),
                status: text(),
                timezone: text(),
                rescheduled,
                old_invitee: text(),
                new_invitee: text(),
                event: text(),
                reference: text(),
                payment,
                canceled_by: text(),
                canceler_type: text(),
                cancel_reason: text(),
                created_at: filling.1[0],
                updated_at: filling.1[1],
            }
        });
    invitee.boxed()
}

fn meetings() -> BoxedStrategy<ScheduledEvent> {
    let meeting = filling().prop_map(|(text, times)| {
        let mut text = text.into_iter();
        let mut text = || text.next().flatten();
        ScheduledEvent {
            uri: text(),
            name: text(),
            status: text(),
            event_type: text(),
            start_time: times[0],
            end_time: times[1],
            location_type: text(),
        }
    });
    meeting.boxed()
}

fn calendly() -> BoxedStrategy<CalendlyEvent> {
    let parts = (any::<u128>(), any::<[String; 2]>(), times(), times());
    let records = (prop::option::of(invitees()), prop::option::of(meetings()));
    let event = (parts, records).prop_map(|((id, [event_type, payload], occurred_at, received_at), records)| {
        let (invitee, scheduled_event) = records;
        let event_id = Uuid::from_u128(id);
        CalendlyEvent { event_id, event_type, occurred_at, received_at, invitee, scheduled_event, payload }
    });
    event.boxed()
}

prop_compose! {
    fn stripe()(
        text in prop::array::uniform3(any::<String>()), time in prop::array::uniform2(times()),
        object_id in maybe_text(), booking_id in maybe_text(),
    ) -> StripeEvent {
        let [event_id, event_type, payload] = text;
        let [occurred_at, received_at] = time;
        StripeEvent { event_id, event_type, occurred_at, received_at, object_id, booking_id, payload }
    }
}

/// What a reader without our code sees.
fn generic(schema: &str, body: &[u8]) -> Vec<(String, Value)> {
    let schema = Schema::parse_str(schema).unwrap();
    match from_avro_datum(&schema, &mut &*body, None).unwrap() {
        Value::Record(fields) => fields,
        other => panic!("{other:?}"),
    }
}

fn ids(id: u32, schema: &str) -> SchemaIds {
    let mut ids = SchemaIds::default();
    ids.insert(id, WriterSchema::parse(schema).unwrap());
    ids
}

proptest! {
    #[test]
    fn calendly_round_trip(event in calendly(), id: u32) {
        let bytes = codec::encode_calendly(&event).unwrap();
        prop_assert_eq!(codec::decode_calendly(&bytes).unwrap(), event.clone());
        let framed = codec::encode_calendly_as(&event, Framing::Confluent(id)).unwrap();
        prop_assert_eq!(&framed[5..], &bytes[10..]);
        prop_assert_eq!(codec::confluent_id(&framed), Some(id));
        let decoded = codec::decode_with(&framed, &ids(id, CALENDLY_SCHEMA)).unwrap();
        prop_assert_eq!(decoded, Event::Calendly(Box::new(event)));
    }

    #[test]
    fn stripe_round_trip(event in stripe(), id: u32) {
        let bytes = codec::encode_stripe(&event).unwrap();
        prop_assert_eq!(codec::decode_stripe(&bytes).unwrap(), event.clone());
        let framed = codec::encode_stripe_as(&event, Framing::Confluent(id)).unwrap();
        let decoded = codec::decode_with(&framed, &ids(id, STRIPE_SCHEMA)).unwrap();
        prop_assert_eq!(decoded, Event::Stripe(Box::new(event)));
    }

    /// The struct's fields are written in their own order, so this also fails when it is not the schema's.
    #[test]
    fn other_readers_see_the_same(event in calendly()) {
        let bytes = codec::encode_calendly(&event).unwrap();
        let fields = generic(CALENDLY_SCHEMA, &bytes[10..]);
        let json: serde_json::Map<_, _> =
            fields.into_iter().map(|(name, value)| (name, serde_json::Value::try_from(value).unwrap())).collect();
        let field = |name: &str| json[name].clone();
        prop_assert_eq!(field("event_id"), event.event_id.to_string());
        prop_assert_eq!(field("occurred_at"), event.occurred_at.as_microsecond());
        prop_assert_eq!(field("payload"), event.payload);
        let invitee = event.invitee.unwrap_or_default();
        if !invitee.uri.is_empty() {
            prop_assert_eq!(&field("invitee")["uri"], &invitee.uri);
            prop_assert_eq!(&field("invitee")["old_invitee"], &serde_json::json!(invitee.old_invitee));
            prop_assert_eq!(&field("invitee")["rescheduled"], invitee.rescheduled);
        }
    }

    #[test]
    fn the_framing_can_be_changed_later(event in calendly(), other in stripe(), id: u32) {
        let framing = |_: Kind| Framing::Confluent(id);
        let reframed = codec::reframe(&codec::encode_calendly(&event).unwrap(), framing);
        prop_assert_eq!(reframed, Some(codec::encode_calendly_as(&event, framing(Kind::Calendly)).unwrap()));
        let reframed = codec::reframe(&codec::encode_stripe(&other).unwrap(), framing);
        prop_assert_eq!(reframed, Some(codec::encode_stripe_as(&other, framing(Kind::Stripe)).unwrap()));
        let has_it = codec::encode_stripe_as(&other, framing(Kind::Stripe)).unwrap();
        prop_assert_eq!(codec::reframe(&has_it, |_| Framing::SingleObject), None);
    }

    #[test]
    fn a_truncated_record_is_an_error(event in calendly(), cut: prop::sample::Index) {
        let bytes = codec::encode_calendly(&event).unwrap();
        prop_assert!(codec::decode(&bytes[..cut.index(bytes.len())]).is_err());
    }

    #[test]
    fn a_truncated_stripe_record_is_an_error(event in stripe(), cut: prop::sample::Index) {
        let bytes = codec::encode_stripe(&event).unwrap();
        prop_assert!(codec::decode(&bytes[..cut.index(bytes.len())]).is_err());
    }

    #[test]
    fn a_damaged_record_does_no_harm(
        event in calendly(), damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = codec::encode_calendly(&event).unwrap();
        for (index, byte) in damage {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        let _ = codec::decode(&bytes);
    }

    #[test]
    fn noise_does_no_harm(noise: Vec<u8>, framed: bool) {
        let header = codec::encode_stripe(&sample_stripe()).unwrap()[..10].to_vec();
        let bytes = if framed { [header, noise].concat() } else { noise };
        let _ = codec::decode(&bytes);
    }
}

fn sample_stripe() -> StripeEvent {
    StripeEvent {
        event_id: "evt_1".to_owned(),
        event_type: "refund.updated".to_owned(),
        occurred_at: Timestamp::from_second(1_234_567_890).unwrap(),
        received_at: Timestamp::from_second(1_234_567_891).unwrap(),
        object_id: Some("re_1".to_owned()),
        booking_id: None,
        payload: "{}".to_owned(),
    }
}

fn sample_calendly() -> CalendlyEvent {
    CalendlyEvent {
        event_id: Uuid::from_u128(1),
        event_type: "invitee.created".to_owned(),
        occurred_at: Timestamp::UNIX_EPOCH,
        received_at: Timestamp::UNIX_EPOCH,
        invitee: Some(Invitee { uri: "u".to_owned(), reference: Some("r".to_owned()), ..Invitee::default() }),
        scheduled_event: None,
        payload: "{}".to_owned(),
    }
}

/// For people: times as text, not as microseconds.
#[test]
fn json_is_readable() {
    let json = serde_json::to_value(sample_calendly()).unwrap();
    assert_eq!(json["event_id"], "00000000-0000-0000-0000-000000000001");
    assert_eq!(json["occurred_at"], "1970-01-01T00:00:00Z");
    assert_eq!(serde_json::from_value::<CalendlyEvent>(json).unwrap(), sample_calendly());
}

#[test]
fn bytes_are_as_avro_specifies() {
    let bytes = codec::encode_stripe(&sample_stripe()).unwrap();
    assert_eq!(bytes[..10], [0xC3, 0x01, 0xf8, 0x18, 0x23, 0x0d, 0x19, 0x22, 0x6c, 0x27]);
    assert_eq!(bytes[10..16], *b"\x0aevt_1");
    assert!(bytes.ends_with(b"\x02\x08re_1\x00\x04{}"));
    let bytes = codec::encode_calendly(&sample_calendly()).unwrap();
    assert_eq!(bytes[..10], [0xC3, 0x01, 0xdb, 0x44, 0x2a, 0xf3, 0x4a, 0x74, 0xbc, 0x54]);
    // 36 characters, not 16 raw bytes.
    assert_eq!(bytes[10..47], *b"\x4800000000-0000-0000-0000-000000000001");
}

#[test]
fn a_fingerprint_over_the_unsimplified_canonical_form_is_known_too() {
    let mut bytes = codec::encode_calendly(&sample_calendly()).unwrap();
    let literal = Schema::parse_str(CALENDLY_SCHEMA).unwrap().fingerprint::<Rabin>();
    assert_ne!(bytes[2..10], literal.bytes);
    bytes[2..10].copy_from_slice(&literal.bytes);
    assert_eq!(codec::decode_calendly(&bytes).unwrap(), sample_calendly());
}

/// The schema before `reference` and `scheduled_event` were added, and after `region` will be.
fn another_release() -> String {
    let mut schema: serde_json::Value = serde_json::from_str(CALENDLY_SCHEMA).unwrap();
    let fields = schema["fields"].as_array_mut().unwrap();
    fields.retain(|field| field["name"] != "scheduled_event");
    let invitee = fields.iter_mut().find(|field| field["name"] == "invitee").unwrap();
    invitee["type"][1]["fields"].as_array_mut().unwrap().retain(|field| field["name"] != "reference");
    fields.insert(0, serde_json::json!({"name": "region", "type": "string", "doc": "New."}));
    schema.to_string()
}

#[test]
fn a_record_of_another_release_is_resolved() {
    let json = another_release();
    let schema = Schema::parse_str(&json).unwrap();
    let ours = codec::encode_calendly(&sample_calendly()).unwrap();
    let mut fields = generic(CALENDLY_SCHEMA, &ours[10..]);
    fields.retain(|(name, _)| name != "scheduled_event");
    fields.insert(0, ("region".to_owned(), Value::String("eu".to_owned())));
    let resolved = Value::Record(fields).resolve(&schema).unwrap();
    let body = to_avro_datum(&schema, resolved).unwrap();
    let record = [&[0, 0, 0, 0, 9][..], &body].concat();
    let mut expected = sample_calendly();
    expected.invitee.as_mut().unwrap().reference = None;
    let decoded = codec::decode_with(&record, &ids(9, &json)).unwrap();
    assert_eq!(decoded, Event::Calendly(Box::new(expected)));
}

#[test]
fn errors_say_what_is_wrong() {
    let calendly = codec::encode_calendly(&sample_calendly()).unwrap();
    let stripe = codec::encode_stripe(&sample_stripe()).unwrap();
    let wrong_kind = CodecError::WrongKind { expected: Kind::Calendly, found: Kind::Stripe };
    assert_eq!(codec::decode_calendly(&stripe).unwrap_err(), wrong_kind);
    assert!(matches!(codec::decode_stripe(&calendly), Err(CodecError::WrongKind { .. })));
    for bytes in [&b""[..], b"{}", b"\xC3", b"\xC3\x01", b"\xC3\x01\x01", b"\0", b"\0\0\0\0"] {
        assert_eq!(codec::decode(bytes).unwrap_err(), CodecError::UnknownFraming, "{bytes:?}");
    }
    assert_eq!(codec::decode(b"\0\0\0\x01\0").unwrap_err(), CodecError::UnknownSchemaId(256));
    let unknown = codec::decode(b"\xC3\x01abcdefgh").unwrap_err();
    assert_eq!(unknown.to_string(), "unknown schema fingerprint 6162636465666768");
    let longer = [calendly, vec![0]].concat();
    assert_eq!(codec::decode(&longer).unwrap_err(), CodecError::Decode("TrailingBytes".to_owned()));
}

#[test]
fn errors_quote_no_values() {
    let mut event = sample_calendly();
    event.payload = "secret".to_owned();
    let mut bytes = codec::encode_calendly(&event).unwrap();
    let last = bytes.len() - 1;
    bytes[last] = 0xff;
    let error = codec::decode(&bytes).unwrap_err();
    assert!(matches!(error, CodecError::Decode(_)));
    assert!(!format!("{error} {error:?}").contains("secre"), "{error}");
}
