//! When a record of a tier is due, and where it goes.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use runtime::kafka::Record;
use runtime::kafka::relay::{Departure, Timetable};
use runtime::metrics::{RETRIES_RELEASED, RETRY_RELEASE_LATENESS};
use schemas::headers::Headers;
use schemas::topics::Topics;

/// The tiers' timetable.
pub(crate) struct Tiers {
    due_topic: String,
    by_topic: HashMap<String, (String, Duration)>,
}

impl Tiers {
    pub(crate) fn new(topics: &Topics) -> Self {
        let by_topic =
            topics.tiers().iter().map(|tier| (tier.topic.clone(), (tier.label.clone(), tier.delay))).collect();
        Self { due_topic: topics.due().to_owned(), by_topic }
    }

    /// When a record leaves: when its headers say, and at the latest when its tier's delay is over.
    ///
    /// An honest due time is a failure in the past plus that delay, so the limit makes nothing early. Without it a writer
    /// whose clock is ahead would stop all that is behind its record.
    fn due_at(&self, record: &Record) -> Timestamp {
        let delay = self.by_topic.get(&record.topic).map_or(Duration::ZERO, |(_, delay)| *delay);
        let after = |start: Timestamp| start.checked_add(delay).unwrap_or(Timestamp::MAX);
        let headers = Headers::parse(record.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())));
        let told = headers.retry.map(|retry| retry.due_at).or_else(|| {
            tracing::warn!(
                topic = record.topic,
                offset = record.offset,
                "a record without retry headers waits its tier's delay"
            );
            Some(after(Timestamp::from_millisecond(record.timestamp?).ok()?))
        });
        let latest = after(Timestamp::now());
        told.map_or(latest, |told| told.min(latest))
    }

    fn label(&self, topic: &str) -> String {
        self.by_topic.get(topic).map_or_else(String::new, |(label, _)| label.clone())
    }
}

impl Timetable for Tiers {
    fn departure(&self, record: &Record) -> Departure {
        let due_at = self.due_at(record);
        Departure { due_at, topic: self.due_topic.clone(), headers: record.headers.clone() }
    }

    fn departed(&self, record: &Record, departure: &Departure, at: Timestamp) {
        let tier = self.label(&record.topic);
        let lateness = at.duration_since(departure.due_at).as_secs_f64().max(0.0);
        metrics::counter!(RETRIES_RELEASED, "tier" => tier.clone()).increment(1);
        metrics::histogram!(RETRY_RELEASE_LATENESS, "tier" => tier).record(lateness);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::RetryHeaders;
    use schemas::ladder::{ErrorClass, RetryLadder};

    fn record(headers: Vec<(String, Vec<u8>)>) -> Record {
        Record {
            topic: "p.calendly.events.retry.5m".to_owned(),
            partition: 0,
            offset: 7,
            key: Some(b"key".to_vec()),
            value: b"value".to_vec(),
            timestamp: Some(1_700_000_000_000),
            headers,
        }
    }

    fn tiers() -> Tiers {
        Tiers::new(&Topics::new("p.", &RetryLadder::default()))
    }

    #[test]
    fn a_record_leaves_when_its_headers_say_and_with_the_same_headers() {
        let due_at: Timestamp = "2026-01-02T03:04:05.678901Z".parse().unwrap();
        let retry = RetryHeaders {
            attempt: 2,
            due_at,
            first_failed_at: due_at,
            failed_at: due_at,
            error_class: ErrorClass::Transient,
            error: "x".to_owned(),
            origin_topic: "p.calendly.events".to_owned(),
            origin_partition: 1,
            origin_offset: 2,
        };
        let headers = Headers { retry: Some(retry), ..Headers::default() };
        let pairs: Vec<_> = headers.to_pairs().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let departure = tiers().departure(&record(pairs.clone()));
        assert_eq!((departure.due_at, departure.topic.as_str()), (due_at, "p.calendly.events.due"));
        assert_eq!(departure.headers, pairs);
    }

    #[test]
    fn without_headers_it_waits_the_tiers_delay_from_when_it_was_written() {
        let written = Timestamp::from_second(1_700_000_000).unwrap();
        assert_eq!(tiers().departure(&record(Vec::new())).due_at, written.checked_add(Duration::from_mins(5)).unwrap());
    }

    #[test]
    fn a_clock_that_is_ahead_stops_nothing() {
        let far: Timestamp = "2999-01-01T00:00:00Z".parse().unwrap();
        let pairs = vec![("retry-due-at".to_owned(), far.to_string().into_bytes())];
        let latest = Timestamp::now().checked_add(Duration::from_mins(6)).unwrap();
        assert!(tiers().departure(&record(pairs)).due_at < latest);
    }
}
