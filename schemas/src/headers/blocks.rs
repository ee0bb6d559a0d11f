//! The two blocks of our own headers, as text and back.

use std::borrow::Cow;
use std::str::FromStr;

use jiff::Timestamp;

use super::{EventHeaders, MAX_ERROR, MAX_TEXT, Pair, RetryHeaders, ascii, names};
use crate::trace::TraceParent;

/// The latest value of each of our headers, in the order of [`names::ALL`].
#[derive(Default)]
pub(super) struct Ours<'a>([Option<&'a [u8]>; names::ALL.len()]);

impl<'a> Ours<'a> {
    /// Takes the header when it is one of ours.
    pub(super) fn take(&mut self, name: &str, value: &'a [u8]) -> bool {
        let known = names::ALL.iter().zip(&mut self.0).find(|(known, _)| **known == name);
        known.map(|(_, slot)| *slot = Some(value)).is_some()
    }

    pub(super) fn event(&self) -> Option<EventHeaders> {
        let traceparent = self.text(names::TRACEPARENT).filter(|text| TraceParent::parse(text).is_ok());
        Some(EventHeaders {
            event_id: self.text(names::EVENT_ID)?.to_owned(),
            event_type: self.text(names::EVENT_TYPE)?.to_owned(),
            received_at: self.parse(names::RECEIVED_AT)?,
            traceparent: traceparent.unwrap_or_default().to_owned(),
        })
    }

    pub(super) fn retry(&self) -> Option<RetryHeaders> {
        Some(RetryHeaders {
            attempt: self.parse(names::RETRY_ATTEMPT)?,
            due_at: self.parse(names::RETRY_DUE_AT)?,
            first_failed_at: self.parse(names::FIRST_FAILED_AT)?,
            failed_at: self.parse(names::FAILED_AT)?,
            error_class: self.parse(names::ERROR_CLASS)?,
            error: ascii(self.text(names::ERROR)?, MAX_ERROR).into_owned(),
            origin_topic: self.text(names::ORIGIN_TOPIC)?.to_owned(),
            origin_partition: self.parse(names::ORIGIN_PARTITION)?,
            origin_offset: self.parse(names::ORIGIN_OFFSET)?,
        })
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        let (_, value) = names::ALL.iter().zip(&self.0).find(|(known, _)| **known == name)?;
        value.and_then(|bytes| str::from_utf8(bytes).ok())
    }

    fn parse<T: FromStr>(&self, name: &str) -> Option<T> {
        self.text(name)?.parse().ok()
    }
}

pub(super) fn write_event<'a>(event: &'a EventHeaders, pairs: &mut Vec<Pair<'a>>) {
    pairs.push((names::EVENT_ID, text(&event.event_id, MAX_TEXT)));
    pairs.push((names::EVENT_TYPE, text(&event.event_type, MAX_TEXT)));
    pairs.push((names::RECEIVED_AT, time(event.received_at)));
    if !event.traceparent.is_empty() {
        pairs.push((names::TRACEPARENT, text(&event.traceparent, MAX_TEXT)));
    }
}

pub(super) fn write_retry<'a>(retry: &'a RetryHeaders, pairs: &mut Vec<Pair<'a>>) {
    pairs.push((names::RETRY_ATTEMPT, number(&retry.attempt)));
    pairs.push((names::RETRY_DUE_AT, time(retry.due_at)));
    pairs.push((names::FIRST_FAILED_AT, time(retry.first_failed_at)));
    pairs.push((names::FAILED_AT, time(retry.failed_at)));
    pairs.push((names::ERROR_CLASS, text(retry.error_class.as_str(), MAX_TEXT)));
    pairs.push((names::ERROR, text(&retry.error, MAX_ERROR)));
    pairs.push((names::ORIGIN_TOPIC, text(&retry.origin_topic, MAX_TEXT)));
    pairs.push((names::ORIGIN_PARTITION, number(&retry.origin_partition)));
    pairs.push((names::ORIGIN_OFFSET, number(&retry.origin_offset)));
}

fn text(value: &str, max: usize) -> Cow<'_, [u8]> {
    match ascii(value, max) {
        Cow::Borrowed(text) => text.as_bytes().into(),
        Cow::Owned(text) => text.into_bytes().into(),
    }
}

fn number(value: &impl ToString) -> Cow<'static, [u8]> {
    value.to_string().into_bytes().into()
}

/// RFC 3339, UTC, microseconds: the precision of the events themselves.
fn time(at: Timestamp) -> Cow<'static, [u8]> {
    format!("{at:.6}").into_bytes().into()
}
