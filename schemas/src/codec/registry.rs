//! The schemas that records may be written with, by fingerprint and by registry id.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, LazyLock},
};

use apache_avro::Schema;

use super::{CodecError, name_of};

/// The schema of Calendly's events, as it is written today.
pub const CALENDLY_SCHEMA: &str = include_str!("../../avro/calendly_event.avsc");
/// The schema of Stripe's events, as it is written today.
pub const STRIPE_SCHEMA: &str = include_str!("../../avro/stripe_event.avsc");

/// The schema of bookings' states, as it is written today.
pub const BOOKING_SCHEMA: &str = include_str!("../../avro/booking_state.avsc");

/// Every schema that a release wrote with, today's first, for the records that are still in the topics. `released/` keeps
/// them, each under its fingerprint; tests compare the two, and each of them with today's.
const RELEASED: [&str; 6] = [
    CALENDLY_SCHEMA,
    STRIPE_SCHEMA,
    BOOKING_SCHEMA,
    include_str!("../../released/calendly_event.db442af34a74bc54.avsc"),
    include_str!("../../released/stripe_event.f818230d19226c27.avsc"),
    include_str!("../../released/booking_state.685a7c1c034e242e.avsc"),
];

static KNOWN: LazyLock<Result<Vec<WriterSchema>, CodecError>> =
    LazyLock::new(|| RELEASED.into_iter().map(WriterSchema::parse).collect());

/// What a value may be: one of the two kinds of event, or a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `CalendlyEvent`
    Calendly,
    /// `StripeEvent`
    Stripe,
    /// `BookingState`
    Booking,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Calendly => "CalendlyEvent",
            Self::Stripe => "StripeEvent",
            Self::Booking => "BookingState",
        })
    }
}

/// A schema that a record was written with.
#[derive(Clone, Debug)]
pub struct WriterSchema {
    kind: Kind,
    schema: Schema,
    fingerprint: [u8; 8],
    literal_fingerprint: [u8; 8],
}

impl WriterSchema {
    /// Reads a schema of ours.
    pub fn parse(json: &str) -> Result<Self, CodecError> {
        let schema = Schema::parse_str(json).map_err(|error| CodecError::Schema(name_of(&error)))?;
        let kind = match schema.name().map(|name| name.name.as_str()) {
            Some("CalendlyEvent") => Kind::Calendly,
            Some("StripeEvent") => Kind::Stripe,
            Some("BookingState") => Kind::Booking,
            _ => return Err(CodecError::Schema("NotAnEvent".to_owned())),
        };
        let literal = schema.canonical_form();
        let fingerprint = crc_64_avro(simplify_primitives(&literal).as_bytes());
        Ok(Self { kind, schema, fingerprint, literal_fingerprint: crc_64_avro(literal.as_bytes()) })
    }

    /// What it describes.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// CRC-64-AVRO of the parsing canonical form, little-endian, as it stands in a single-object encoding.
    pub fn fingerprint(&self) -> [u8; 8] {
        self.fingerprint
    }

    pub(super) fn schema(&self) -> &Schema {
        &self.schema
    }
}

/// Schemas by the id that a registry gave them.
#[derive(Clone, Debug, Default)]
pub struct SchemaIds(HashMap<u32, Arc<WriterSchema>>);

impl SchemaIds {
    /// Adds a schema, or replaces it.
    pub fn insert(&mut self, id: u32, schema: WriterSchema) {
        self.0.insert(id, Arc::new(schema));
    }

    /// Whether the id is known.
    pub fn contains(&self, id: u32) -> bool {
        self.0.contains_key(&id)
    }

    pub(super) fn get(&self, id: u32) -> Option<&WriterSchema> {
        self.0.get(&id).map(Arc::as_ref)
    }
}

/// The schema that `kind` is written with today.
pub(super) fn current(kind: Kind) -> Result<&'static WriterSchema, CodecError> {
    let missing = || CodecError::Schema(format!("no schema of {kind}"));
    known()?.iter().find(|schema| schema.kind == kind).ok_or_else(missing)
}

/// The released schema with this fingerprint, also when it was computed by one of the libraries that leave
/// `{"type":"long"}` in the canonical form.
pub(super) fn by_fingerprint(fingerprint: [u8; 8]) -> Result<Option<&'static WriterSchema>, CodecError> {
    let same = |schema: &&WriterSchema| [schema.fingerprint, schema.literal_fingerprint].contains(&fingerprint);
    Ok(known()?.iter().find(same))
}

fn known() -> Result<&'static [WriterSchema], CodecError> {
    KNOWN.as_deref().map_err(Clone::clone)
}

/// `apache-avro` strips a logical type but leaves `{"type":"long"}` where Avro's Java library, the one that data teams'
/// readers compare with, has `"long"`.
fn simplify_primitives(canonical: &str) -> String {
    let primitives = ["boolean", "bytes", "double", "float", "int", "long", "null", "string"];
    primitives.into_iter().fold(canonical.to_owned(), |form, primitive| {
        form.replace(&format!(r#"{{"type":"{primitive}"}}"#), &format!(r#""{primitive}""#))
    })
}

fn crc_64_avro(bytes: &[u8]) -> [u8; 8] {
    const EMPTY: u64 = 0xc15d_213a_a4d7_a795;
    let step = |crc: u64, _| (crc >> 1) ^ (EMPTY & (crc & 1).wrapping_neg());
    let byte = |crc: u64, byte: &u8| (0..8).fold(crc ^ u64::from(*byte), step);
    bytes.iter().fold(EMPTY, byte).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without a logical type both ways to the fingerprint are one, so the library checks ours.
    #[test]
    fn crc_agrees_with_the_library() {
        let json = r#"{"type":"record","name":"A","fields":[{"name":"b","type":["null","string"]}]}"#;
        let schema = Schema::parse_str(json).unwrap();
        let form = schema.canonical_form();
        let rabin = schema.fingerprint::<apache_avro::rabin::Rabin>();
        assert_eq!(simplify_primitives(&form), form);
        assert_eq!(crc_64_avro(form.as_bytes()).as_slice(), rabin.bytes);
    }

    /// As `SchemaNormalization.parsingFingerprint("CRC-64-AVRO", …)` of Avro's Java library computes them. When this
    /// fails the schema has changed: compute its fingerprint with Java, and put it here.
    #[test]
    fn fingerprints_are_those_of_avros_reference() {
        let fingerprint = |kind| super::super::hex(current(kind).unwrap().fingerprint());
        assert_eq!(fingerprint(Kind::Calendly), "db442af34a74bc54");
        assert_eq!(fingerprint(Kind::Stripe), "f818230d19226c27");
        assert_eq!(fingerprint(Kind::Booking), "685a7c1c034e242e");
    }

    #[test]
    fn only_schemas_of_events_are_taken() {
        assert!(matches!(WriterSchema::parse("{"), Err(CodecError::Schema(_))));
        assert!(matches!(WriterSchema::parse(r#""string""#), Err(CodecError::Schema(_))));
        let other = r#"{"type":"record","name":"Order","fields":[]}"#;
        assert_eq!(WriterSchema::parse(other).unwrap_err(), CodecError::Schema("NotAnEvent".to_owned()));
    }
}
