//! Events to bytes and back.
//!
//! Without a schema registry a value is Avro's single-object encoding (`C3 01`, CRC-64-AVRO fingerprint of the schema,
//! body), with one it has Confluent's framing (`00`, schema id, body). Reading takes both, and resolves whatever
//! released schema a record was written with to today's.

mod registry;

use serde::{Serialize, de::DeserializeOwned};

pub use self::registry::{BOOKING_SCHEMA, CALENDLY_SCHEMA, Kind, STRIPE_SCHEMA, SchemaIds, WriterSchema};
use self::registry::{by_fingerprint, current};
use crate::{booking::BookingState, calendly::CalendlyEvent, stripe::StripeEvent};

/// First bytes of a single-object encoding.
const SINGLE_OBJECT: [u8; 2] = [0xC3, 0x01];
/// First byte of Confluent's framing.
const CONFLUENT: u8 = 0;
/// About what an event takes besides its payload, so that the buffer rarely grows.
const FIELDS: usize = 2048;

/// Why bytes are no event, or an event no bytes. Nothing of the content is quoted: the library's own messages would.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// A schema does not parse, or is none of an event of ours.
    #[error("unusable Avro schema ({0})")]
    Schema(String),
    /// The event does not fit its schema.
    #[error("the event cannot be encoded ({0})")]
    Encode(String),
    /// The bytes do not fit the schema they name.
    #[error("the record is not what its schema says ({0})")]
    Decode(String),
    /// Neither framing.
    #[error("the record begins neither as a single-object encoding nor as Confluent's framing")]
    UnknownFraming,
    /// A schema that no release of ours wrote with.
    #[error("unknown schema fingerprint {}", hex(*.0))]
    UnknownFingerprint([u8; 8]),
    /// The state of a booking, where events are.
    #[error("the record is no event")]
    NotAnEvent,
    /// A schema id that the table passed in lacks.
    #[error("unknown schema id {0}")]
    UnknownSchemaId(u32),
    /// Another kind of value.
    #[error("the record is a {found}, not a {expected}")]
    WrongKind {
        /// What was asked for.
        expected: Kind,
        /// What it is.
        found: Kind,
    },
}

/// An event of either source.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// From Calendly.
    Calendly(Box<CalendlyEvent>),
    /// From Stripe.
    Stripe(Box<StripeEvent>),
}

impl Event {
    /// Which of the two it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Calendly(_) => Kind::Calendly,
            Self::Stripe(_) => Kind::Stripe,
        }
    }
}

/// What stands in front of the Avro body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// The fingerprint: readers find the schema by themselves.
    SingleObject,
    /// The id that the schema registry gave to our schema.
    Confluent(u32),
}

impl Framing {
    fn begin(self, writer: &WriterSchema, bytes: &mut Vec<u8>) {
        match self {
            Self::SingleObject => {
                bytes.extend(SINGLE_OBJECT);
                bytes.extend(writer.fingerprint());
            }
            Self::Confluent(id) => {
                bytes.push(CONFLUENT);
                bytes.extend(id.to_be_bytes());
            }
        }
    }
}

/// Encodes without a registry.
pub fn encode_calendly(event: &CalendlyEvent) -> Result<Vec<u8>, CodecError> {
    encode_calendly_as(event, Framing::SingleObject)
}

/// Encodes in the framing asked for.
pub fn encode_calendly_as<S: Serialize + AsRef<str>>(
    event: &CalendlyEvent<S>,
    framing: Framing,
) -> Result<Vec<u8>, CodecError> {
    encode(Kind::Calendly, event, event.payload.as_ref().len(), framing)
}

/// Encodes without a registry.
pub fn encode_stripe(event: &StripeEvent) -> Result<Vec<u8>, CodecError> {
    encode_stripe_as(event, Framing::SingleObject)
}

/// Encodes in the framing asked for.
pub fn encode_stripe_as(event: &StripeEvent, framing: Framing) -> Result<Vec<u8>, CodecError> {
    encode(Kind::Stripe, event, event.payload.len(), framing)
}

/// Encodes a booking's state in the framing asked for.
pub fn encode_booking_as(state: &BookingState, framing: Framing) -> Result<Vec<u8>, CodecError> {
    encode(Kind::Booking, state, 0, framing)
}

/// Decodes a booking's state in either framing; `ids` tells the schemas behind the registry's ids.
pub fn decode_booking_with(bytes: &[u8], ids: &SchemaIds) -> Result<BookingState, CodecError> {
    let (writer, body) = writer_of(bytes, ids)?;
    match writer.kind() {
        Kind::Booking => decode_as(writer, body),
        found @ (Kind::Calendly | Kind::Stripe) => Err(CodecError::WrongKind { expected: Kind::Booking, found }),
    }
}

/// Decodes a record that was written without a registry and must be Calendly's.
pub fn decode_calendly(bytes: &[u8]) -> Result<CalendlyEvent, CodecError> {
    match decode(bytes)? {
        Event::Calendly(event) => Ok(*event),
        Event::Stripe(_) => Err(CodecError::WrongKind { expected: Kind::Calendly, found: Kind::Stripe }),
    }
}

/// Decodes a record that was written without a registry and must be Stripe's.
pub fn decode_stripe(bytes: &[u8]) -> Result<StripeEvent, CodecError> {
    match decode(bytes)? {
        Event::Stripe(event) => Ok(*event),
        Event::Calendly(_) => Err(CodecError::WrongKind { expected: Kind::Stripe, found: Kind::Calendly }),
    }
}

/// Decodes a record that was written without a registry.
pub fn decode(bytes: &[u8]) -> Result<Event, CodecError> {
    decode_with(bytes, &SchemaIds::default())
}

/// Decodes a record in either framing; `ids` tells the schemas behind the registry's ids.
pub fn decode_with(bytes: &[u8], ids: &SchemaIds) -> Result<Event, CodecError> {
    let (writer, body) = writer_of(bytes, ids)?;
    decode_body(writer, body)
}

/// The schema that a record was written with, and what follows its framing.
fn writer_of<'a>(bytes: &'a [u8], ids: &'a SchemaIds) -> Result<(&'a WriterSchema, &'a [u8]), CodecError> {
    if let Some((id, body)) = split_confluent(bytes) {
        return Ok((ids.get(id).ok_or(CodecError::UnknownSchemaId(id))?, body));
    }
    let rest = bytes.strip_prefix(&SINGLE_OBJECT).ok_or(CodecError::UnknownFraming)?;
    let (fingerprint, body) = rest.split_first_chunk().ok_or(CodecError::UnknownFraming)?;
    Ok((by_fingerprint(*fingerprint)?.ok_or(CodecError::UnknownFingerprint(*fingerprint))?, body))
}

/// The registry's id in a record with Confluent's framing, for a caller that has to look it up before decoding.
pub fn confluent_id(bytes: &[u8]) -> Option<u32> {
    split_confluent(bytes).map(|(id, _)| id)
}

/// Whether a value says by itself which schema it was written with.
pub fn is_single_object(bytes: &[u8]) -> bool {
    bytes.starts_with(&SINGLE_OBJECT)
}

/// An event in single-object encoding as it is in another framing. `None` when it is none that we can read.
///
/// What an earlier release wrote is encoded anew: the framing is for today's schema.
pub fn reframe(bytes: &[u8], framing: impl FnOnce(Kind) -> Framing) -> Option<Vec<u8>> {
    let (fingerprint, body) = bytes.strip_prefix(&SINGLE_OBJECT)?.split_first_chunk()?;
    let writer = by_fingerprint(*fingerprint).ok()??;
    let framing = framing(writer.kind());
    if writer.fingerprint() == current(writer.kind()).ok()?.fingerprint() {
        let mut reframed = Vec::with_capacity(bytes.len());
        framing.begin(writer, &mut reframed);
        reframed.extend(body);
        return Some(reframed);
    }
    match decode_body(writer, body).ok()? {
        Event::Calendly(event) => encode_calendly_as(&event, framing).ok(),
        Event::Stripe(event) => encode_stripe_as(&event, framing).ok(),
    }
}

fn split_confluent(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (id, body) = bytes.strip_prefix(&[CONFLUENT])?.split_first_chunk()?;
    Some((u32::from_be_bytes(*id), body))
}

fn encode<T: Serialize>(kind: Kind, event: &T, payload: usize, framing: Framing) -> Result<Vec<u8>, CodecError> {
    let writer = current(kind)?;
    let mut bytes = Vec::with_capacity(payload + FIELDS);
    framing.begin(writer, &mut bytes);
    // Straight from the struct to bytes, without a tree of values in between.
    apache_avro::write_avro_datum_ref(writer.schema(), event, &mut bytes)
        .map_err(|error| CodecError::Encode(name_of(&error)))?;
    Ok(bytes)
}

fn decode_body(writer: &WriterSchema, body: &[u8]) -> Result<Event, CodecError> {
    match writer.kind() {
        Kind::Calendly => decode_as(writer, body).map(Box::new).map(Event::Calendly),
        Kind::Stripe => decode_as(writer, body).map(Box::new).map(Event::Stripe),
        Kind::Booking => Err(CodecError::NotAnEvent),
    }
}

fn decode_as<T: DeserializeOwned>(writer: &WriterSchema, mut body: &[u8]) -> Result<T, CodecError> {
    let reader = current(writer.kind())?;
    let resolve_to = (writer.fingerprint() != reader.fingerprint()).then(|| reader.schema());
    let wrong = |error| CodecError::Decode(name_of(&error));
    let value = apache_avro::from_avro_datum(writer.schema(), &mut body, resolve_to).map_err(wrong)?;
    if !body.is_empty() {
        return Err(CodecError::Decode("TrailingBytes".to_owned()));
    }
    apache_avro::from_value(&value).map_err(wrong)
}

/// The name of the library's error. Its message quotes values, and values are personal data.
fn name_of(error: &apache_avro::Error) -> String {
    let debug = format!("{:?}", error.details());
    let end = debug.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(debug.len());
    debug.get(..end).unwrap_or_default().to_owned()
}

fn hex(bytes: [u8; 8]) -> String {
    format!("{:016x}", u64::from_be_bytes(bytes))
}
