//! A dead letter, as far as its headers tell: small enough to hold all of them.

use jiff::Timestamp;
use runtime::kafka::Record;
use schemas::SchemaIds;
use schemas::codec::{self, CodecError, Event};
use schemas::headers::{Headers, RetryHeaders};
use schemas::ladder::ErrorClass;
use schemas::replay::{LetterId, Replay};
use serde::Serialize;

use super::args::Filter;
use super::reingest::{self, Unfit};

/// What can be done with a letter's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// An event.
    Event,
    /// A body that was no event, and is one now.
    Body,
    /// A body that still is none, or was never meant for a topic of ours.
    UnfitBody(Unfit),
    /// Neither, so the processor would refuse it once more.
    Undecodable(String),
}

/// One record of the DLQ, without its value.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    pub(crate) id: LetterId,
    pub(crate) event_id: String,
    pub(crate) event_type: Option<String>,
    pub(crate) received_at: Option<Timestamp>,
    pub(crate) retry: Option<RetryHeaders>,
    pub(crate) replay: Option<Replay>,
    pub(crate) value: Value,
}

impl Letter {
    pub(crate) fn read(record: &Record, topics: &schemas::Topics, ids: &SchemaIds) -> Self {
        let headers = headers(record);
        let replay = Replay::of(&headers);
        let Headers { event, retry, .. } = headers;
        let class = retry.as_ref().map(|retry| retry.error_class);
        let decoded = codec::decode_with(&record.value, ids);
        let told = |read: fn(&Event) -> String| decoded.as_ref().ok().map(read);
        // A record that somebody wrote by hand may have no id: then it goes by its place.
        let place = || format!("{}/{}", record.partition, record.offset);
        Self {
            id: id(record),
            event_id: event.as_ref().map(|event| event.event_id.clone()).or(told(event_id)).unwrap_or_else(place),
            event_type: event.as_ref().map(|event| event.event_type.clone()).or(told(event_type)),
            received_at: event.map(|event| event.received_at),
            value: match &decoded {
                _ if class == Some(ErrorClass::InvalidPayload) => body(record, retry.as_ref(), topics),
                // The processor will ask the registry, which may be away now.
                Ok(_) | Err(CodecError::UnknownSchemaId(_)) => Value::Event,
                Err(error) => Value::Undecodable(error.to_string()),
            },
            retry,
            replay,
        }
    }

    /// When it died, as far as it tells.
    pub(crate) fn died_at(&self) -> Timestamp {
        let written = || Timestamp::from_millisecond(self.id.written).unwrap_or(Timestamp::UNIX_EPOCH);
        self.retry.as_ref().map_or_else(written, |retry| retry.failed_at)
    }

    pub(crate) fn error_class(&self) -> Option<ErrorClass> {
        self.retry.as_ref().map(|retry| retry.error_class)
    }

    /// The order in which letters are listed and replayed. The same event's letters have one key, so one partition.
    pub(crate) fn order(&self) -> (Timestamp, i32, i64) {
        (self.died_at(), self.id.partition, self.id.offset)
    }
}

impl Filter {
    pub(crate) fn takes(&self, letter: &Letter) -> bool {
        let is_type = |wanted: &String| Some(wanted) == letter.event_type.as_ref();
        let is_class = |wanted: &ErrorClass| Some(*wanted) == letter.error_class();
        (self.event_ids.is_empty() || self.event_ids.contains(&letter.event_id))
            && (self.error_classes.is_empty() || self.error_classes.iter().any(is_class))
            && (self.event_types.is_empty() || self.event_types.iter().any(is_type))
            && self.since.is_none_or(|since| letter.died_at() >= since.0)
    }
}

/// A letter as a row of JSON: the names are those of the headers.
#[derive(Serialize)]
pub(crate) struct Row {
    pub(crate) event_id: String,
    pub(crate) event_type: Option<String>,
    pub(crate) error_class: Option<&'static str>,
    pub(crate) error: Option<String>,
    pub(crate) retry_attempt: Option<u32>,
    pub(crate) first_failed_at: Option<Timestamp>,
    pub(crate) failed_at: Timestamp,
    pub(crate) received_at: Option<Timestamp>,
    pub(crate) origin_topic: Option<String>,
    pub(crate) origin_partition: Option<i32>,
    pub(crate) origin_offset: Option<i64>,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    /// How often it had been replayed before it died this time.
    pub(crate) replay_count: u32,
}

impl From<&Letter> for Row {
    fn from(letter: &Letter) -> Self {
        let retry = letter.retry.as_ref();
        Self {
            event_id: letter.event_id.clone(),
            event_type: letter.event_type.clone(),
            error_class: letter.error_class().map(ErrorClass::as_str),
            error: retry.map(|retry| retry.error.clone()),
            retry_attempt: retry.map(|retry| retry.attempt),
            first_failed_at: retry.map(|retry| retry.first_failed_at),
            failed_at: letter.died_at(),
            received_at: letter.received_at,
            origin_topic: retry.map(|retry| retry.origin_topic.clone()),
            origin_partition: retry.map(|retry| retry.origin_partition),
            origin_offset: retry.map(|retry| retry.origin_offset),
            partition: letter.id.partition,
            offset: letter.id.offset,
            replay_count: letter.replay.as_ref().map_or(0, |replay| replay.count),
        }
    }
}

pub(crate) fn id(record: &Record) -> LetterId {
    LetterId { partition: record.partition, offset: record.offset, written: record.timestamp.unwrap_or_default() }
}

pub(crate) fn headers(record: &Record) -> Headers {
    Headers::parse(record.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())))
}

fn body(record: &Record, retry: Option<&RetryHeaders>, topics: &schemas::Topics) -> Value {
    let meant_for = retry.map_or("", |retry| retry.origin_topic.as_str());
    match reingest::parse(&record.value, meant_for, topics) {
        Ok(_) => Value::Body,
        Err(unfit) => Value::UnfitBody(unfit),
    }
}

fn event_id(event: &Event) -> String {
    match event {
        Event::Calendly(event) => event.event_id.to_string(),
        Event::Stripe(event) => event.event_id.clone(),
    }
}

fn event_type(event: &Event) -> String {
    match event {
        Event::Calendly(event) => event.event_type.clone(),
        Event::Stripe(event) => event.event_type.clone(),
    }
}
