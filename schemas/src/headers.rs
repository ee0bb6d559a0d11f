//! Record headers: single-valued and ASCII. A hop replaces them; nothing accumulates.

mod blocks;
mod foreign;

use std::borrow::Cow;

use jiff::Timestamp;

use self::{blocks::Ours, foreign::Foreign};
use crate::ladder::ErrorClass;
use crate::replay::REPLAYED_BY;

/// Names of the contract's headers.
pub mod names {
    /// The event's id.
    pub const EVENT_ID: &str = "event-id";
    /// The event's type.
    pub const EVENT_TYPE: &str = "event-type";
    /// When ingest took the delivery.
    pub const RECEIVED_AT: &str = "received-at";
    /// W3C trace context.
    pub const TRACEPARENT: &str = "traceparent";
    /// Which retry this is; 1 is the first.
    pub const RETRY_ATTEMPT: &str = "retry-attempt";
    /// When the tier releases the record.
    pub const RETRY_DUE_AT: &str = "retry-due-at";
    /// The first failure.
    pub const FIRST_FAILED_AT: &str = "first-failed-at";
    /// The latest failure.
    pub const FAILED_AT: &str = "failed-at";
    /// Its class.
    pub const ERROR_CLASS: &str = "error-class";
    /// Its text.
    pub const ERROR: &str = "error";
    /// The event topic that the record was first read from, prefix included.
    pub const ORIGIN_TOPIC: &str = "origin-topic";
    /// Its partition there.
    pub const ORIGIN_PARTITION: &str = "origin-partition";
    /// Its offset there.
    pub const ORIGIN_OFFSET: &str = "origin-offset";

    /// The span of the try that failed last, as a `traceparent`: what the next try is linked to. On records of processors
    /// that export spans, and foreign to everything else.
    pub const FAILED_TRACEPARENT: &str = "failed-traceparent";

    /// `true` on an event that was not delivered but fetched from Calendly's API afterwards. Passed on like
    /// foreign ones; the processor takes no such event for an operator's word.
    pub const BACKFILLED: &str = "backfilled";

    /// Every name above but the last two, in that order.
    pub const ALL: [&str; 13] = [
        EVENT_ID,
        EVENT_TYPE,
        RECEIVED_AT,
        TRACEPARENT,
        RETRY_ATTEMPT,
        RETRY_DUE_AT,
        FIRST_FAILED_AT,
        FAILED_AT,
        ERROR_CLASS,
        ERROR,
        ORIGIN_TOPIC,
        ORIGIN_PARTITION,
        ORIGIN_OFFSET,
    ];
}

/// Longest `error`, in bytes.
pub const MAX_ERROR: usize = 1024;
/// Longest event id, event type and topic; what Kafka allows a topic is less.
pub const MAX_TEXT: usize = 256;
/// How many foreign headers are carried along, and their bytes in all (names and values).
pub const MAX_OTHER: usize = 32;
/// See [`MAX_OTHER`].
pub const MAX_OTHER_BYTES: usize = 8 * 1024;

/// On every record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventHeaders {
    /// The event's id.
    pub event_id: String,
    /// The event's type.
    pub event_type: String,
    /// When ingest took the delivery.
    pub received_at: Timestamp,
    /// W3C trace context; empty when the record has none, and then not written.
    pub traceparent: String,
}

/// On retry, due and DLQ records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryHeaders {
    /// Which retry this is; 1 is the first, 0 means that there was none.
    pub attempt: u32,
    /// When the tier releases the record.
    pub due_at: Timestamp,
    /// The first failure.
    pub first_failed_at: Timestamp,
    /// The latest failure.
    pub failed_at: Timestamp,
    /// Its class.
    pub error_class: ErrorClass,
    /// Its text, without personal data.
    pub error: String,
    /// The event topic that the record was first read from, prefix included.
    pub origin_topic: String,
    /// Its partition there; negative when it never was in a topic.
    pub origin_partition: i32,
    /// Its offset there; negative when it never was in a topic.
    pub origin_offset: i64,
}

/// Name and value of a header, as it is written.
pub type Pair<'a> = (&'a str, Cow<'a, [u8]>);

/// All headers of a record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// `None` when one of them is missing or garbled (the trace context apart).
    pub event: Option<EventHeaders>,
    /// `None` when one of them is missing or garbled.
    pub retry: Option<RetryHeaders>,
    /// Foreign headers, passed on as they are as far as [`MAX_OTHER`] goes.
    pub other: Vec<(String, Vec<u8>)>,
}

impl Headers {
    /// The mark of an event that was fetched, since its delivery did not come.
    pub fn backfilled() -> Self {
        let mark = (names::BACKFILLED.to_owned(), b"true".to_vec());
        Self { event: None, retry: None, other: vec![mark] }
    }

    /// Whether it comes from a backfill, and no operator has replayed it since: then it is one of many that nobody chose.
    pub fn is_routine(&self) -> bool {
        let has = |wanted: &str| self.other.iter().any(|(name, _)| name == wanted);
        has(names::BACKFILLED) && !has(REPLAYED_BY)
    }

    /// Reads the headers of a record, whoever wrote them; never fails. When a name repeats the last value wins.
    pub fn parse<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut ours = Ours::default();
        let mut other = Foreign::default();
        for (name, value) in pairs {
            if !ours.take(name, value) {
                other.insert(name, value);
            }
        }
        let owned = |(name, value): &(&str, &[u8])| ((*name).to_owned(), value.to_vec());
        Self { event: ours.event(), retry: ours.retry(), other: other.kept().iter().map(owned).collect() }
    }

    /// The headers to write, each name once.
    pub fn to_pairs(&self) -> Vec<Pair<'_>> {
        let mut pairs = Vec::with_capacity(names::ALL.len() + self.other.len());
        if let Some(event) = &self.event {
            blocks::write_event(event, &mut pairs);
        }
        if let Some(retry) = &self.retry {
            blocks::write_retry(retry, &mut pairs);
        }
        let mut other = Foreign::default();
        for (name, value) in &self.other {
            other.insert(name, value);
        }
        pairs.extend(other.kept().iter().map(|(name, value)| (*name, Cow::Borrowed(*value))));
        pairs
    }
}

/// A text as a header may hold it: control and non-ASCII characters become `?`, and it ends after `max` bytes.
pub fn ascii(text: &str, max: usize) -> Cow<'_, str> {
    let is_printable = |c: char| c.is_ascii_graphic() || c == ' ';
    if text.len() <= max && text.chars().all(is_printable) {
        return Cow::Borrowed(text);
    }
    text.chars().map(|c| if is_printable(c) { c } else { '?' }).take(max).collect()
}
