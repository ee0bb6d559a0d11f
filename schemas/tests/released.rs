//! Schemas may change, and records stay: every schema that a release wrote with is kept, can be read by today's, and can
//! read what is written today.
#![allow(clippy::unwrap_used, reason = "tests fail loudly")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use apache_avro::Schema;
use apache_avro::schema_compatibility::SchemaCompatibility;
use schemas::codec::{self, BOOKING_SCHEMA, CALENDLY_SCHEMA, Kind, STRIPE_SCHEMA};
use schemas::{CodecError, WriterSchema};

/// File name and schema of all releases.
fn released() -> BTreeMap<String, String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("released");
    let entries = fs::read_dir(dir).unwrap().map(Result::unwrap);
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap())).collect()
}

/// As the codec writes it: the bytes of the fingerprint in the order in which records have them.
fn hex(schema: &WriterSchema) -> String {
    format!("{:016x}", u64::from_be_bytes(schema.fingerprint()))
}

fn file_name(schema: &WriterSchema) -> String {
    let name = match schema.kind() {
        Kind::Calendly => "calendly_event",
        Kind::Stripe => "stripe_event",
        Kind::Booking => "booking_state",
    };
    format!("{name}.{}.avsc", hex(schema))
}

#[test]
fn what_is_written_today_is_kept_for_later() {
    let released = released();
    for today in [CALENDLY_SCHEMA, STRIPE_SCHEMA, BOOKING_SCHEMA] {
        let name = file_name(&WriterSchema::parse(today).unwrap());
        assert!(
            released.contains_key(&name),
            "the schema has changed: copy it to schemas/released/{name}, and add that to RELEASED in schemas/src/codec/registry.rs"
        );
    }
}

#[test]
fn a_released_schema_never_changes() {
    for (name, text) in released() {
        assert_eq!(file_name(&WriterSchema::parse(&text).unwrap()), name, "the name of the file has the fingerprint");
    }
}

#[test]
fn records_of_every_release_are_known() {
    for (name, text) in released() {
        let fingerprint = WriterSchema::parse(&text).unwrap().fingerprint();
        let record = [&[0xC3, 0x01][..], &fingerprint].concat();
        let error = codec::decode(&record).unwrap_err();
        assert!(!matches!(error, CodecError::UnknownFingerprint(_)), "{name} is missing in RELEASED");
    }
}

#[test]
fn today_and_every_release_read_one_another() {
    for (name, text) in released() {
        let kind = WriterSchema::parse(&text).unwrap().kind();
        let today = match kind {
            Kind::Calendly => CALENDLY_SCHEMA,
            Kind::Stripe => STRIPE_SCHEMA,
            Kind::Booking => BOOKING_SCHEMA,
        };
        let (old, today) = (Schema::parse_str(&text).unwrap(), Schema::parse_str(today).unwrap());
        let backward = SchemaCompatibility::can_read(&old, &today);
        assert!(backward.is_ok(), "today's schema cannot read what was written with {name}: {backward:?}");
        let forward = SchemaCompatibility::can_read(&today, &old);
        assert!(forward.is_ok(), "readers that still have {name} cannot read what is written today: {forward:?}");
    }
}

/// What the test above would say of changes that must not be.
#[test]
fn breaking_changes_are_found() {
    type Change = fn(&mut Vec<serde_json::Value>);
    let today = Schema::parse_str(STRIPE_SCHEMA).unwrap();
    let changed = |change: Change| {
        let mut schema: serde_json::Value = serde_json::from_str(STRIPE_SCHEMA).unwrap();
        change(schema["fields"].as_array_mut().unwrap());
        Schema::parse_str(&schema.to_string()).unwrap()
    };
    let breaks_backward: [Change; 2] = [
        |fields| fields.insert(0, serde_json::json!({"name": "region", "type": "string"})),
        |fields| fields[0]["type"] = "long".into(),
    ];
    for change in breaks_backward {
        assert!(SchemaCompatibility::can_read(&today, &changed(change)).is_err());
    }
    let removes_what_has_no_default: Change = |fields| drop(fields.remove(0));
    assert!(SchemaCompatibility::can_read(&changed(removes_what_has_no_default), &today).is_err());
    let adds_with_a_default: Change =
        |fields| fields.insert(0, serde_json::json!({"name": "region", "type": ["null", "string"], "default": null}));
    let grown = changed(adds_with_a_default);
    assert!(SchemaCompatibility::can_read(&today, &grown).is_ok());
    assert!(SchemaCompatibility::can_read(&grown, &today).is_ok());
}
