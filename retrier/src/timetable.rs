//! When a record of a tier is due, and what is counted when it leaves.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use metrics::{Counter, Gauge, Histogram};
use runtime::kafka::relay::{Arrival, Timetable};
use runtime::metrics::{RETRIES_RELEASED, RETRY_OVERDUE, RETRY_RELEASE_LATENESS, RETRY_WAITING};
use schemas::topics::{Tier, Topics};

struct Entry {
    delay: Duration,
    released: Counter,
    lateness: Histogram,
    waiting: Gauge,
    overdue: Gauge,
}

impl Entry {
    fn new(tier: &Tier) -> Self {
        Self {
            delay: tier.delay,
            released: metrics::counter!(RETRIES_RELEASED, "tier" => tier.label.clone()),
            lateness: metrics::histogram!(RETRY_RELEASE_LATENESS, "tier" => tier.label.clone()),
            waiting: metrics::gauge!(RETRY_WAITING, "tier" => tier.label.clone()),
            overdue: metrics::gauge!(RETRY_OVERDUE, "tier" => tier.label.clone()),
        }
    }
}

/// The tiers' timetable.
pub(crate) struct Tiers {
    by_topic: HashMap<String, Entry>,
}

impl Tiers {
    pub(crate) fn new(topics: &Topics) -> Self {
        Self { by_topic: topics.tiers().iter().map(|tier| (tier.topic.clone(), Entry::new(tier))).collect() }
    }
}

impl Timetable for Tiers {
    /// When a record leaves: when its header says, and at the latest when its tier's delay is over.
    ///
    /// An honest due time is a failure in the past plus that delay, so the limit makes nothing early. Without it a writer
    /// whose clock is ahead would stop all that is behind its record.
    fn due_at(&self, record: &Arrival<'_>) -> Timestamp {
        let delay = self.by_topic.get(record.topic).map_or(Duration::ZERO, |tier| tier.delay);
        let after = |start: Timestamp| start.checked_add(delay).unwrap_or(Timestamp::MAX);
        let told = record.due.and_then(|text| str::from_utf8(text).ok()?.parse().ok()).or_else(|| {
            tracing::warn!(
                topic = record.topic,
                partition = record.partition,
                offset = record.offset,
                "a record that does not say when it is due waits its tier's delay"
            );
            Some(after(Timestamp::from_millisecond(record.timestamp?).ok()?))
        });
        let latest = after(Timestamp::now());
        told.map_or(latest, |told: Timestamp| told.min(latest))
    }

    fn moved(&self, topic: &str, due: &[Timestamp], at: Timestamp) {
        let Some(tier) = self.by_topic.get(topic) else { return };
        tier.released.increment(due.len() as u64);
        for due_at in due {
            tier.lateness.record(at.duration_since(*due_at).as_secs_f64().max(0.0));
        }
    }

    fn waiting(&self, topic: &str, records: u64) {
        let Some(tier) = self.by_topic.get(topic) else { return };
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float, and no tier holds 2^52 records")]
        tier.waiting.set(records as f64);
    }

    fn first_due(&self, topic: &str, due_at: Option<Timestamp>) {
        let Some(tier) = self.by_topic.get(topic) else { return };
        let overdue = due_at.map_or(0.0, |due_at| Timestamp::now().duration_since(due_at).as_secs_f64());
        tier.overdue.set(overdue.max(0.0));
    }
}

#[cfg(test)]
mod tests {
    use schemas::ladder::RetryLadder;

    use super::*;

    fn due_at(due: Option<&str>) -> Timestamp {
        let tiers = Tiers::new(&Topics::new("p.", &RetryLadder::default()));
        tiers.due_at(&Arrival {
            topic: "p.calendly.events.retry.5m",
            partition: 0,
            offset: 7,
            timestamp: Some(1_700_000_000_000),
            due: due.map(str::as_bytes),
        })
    }

    #[test]
    fn a_record_leaves_when_its_header_says() {
        let text = "2026-01-02T03:04:05.678901Z";
        assert_eq!(due_at(Some(text)), text.parse().unwrap());
    }

    #[test]
    fn without_a_readable_header_it_waits_the_tiers_delay_from_when_it_was_written() {
        let written = Timestamp::from_second(1_700_000_000).unwrap();
        for due in [None, Some("soon"), Some("")] {
            assert_eq!(due_at(due), written.checked_add(Duration::from_mins(5)).unwrap());
        }
    }

    #[test]
    fn a_clock_that_is_ahead_stops_nothing() {
        let latest = Timestamp::now().checked_add(Duration::from_mins(6)).unwrap();
        assert!(due_at(Some("2999-01-01T00:00:00Z")) < latest);
    }
}
