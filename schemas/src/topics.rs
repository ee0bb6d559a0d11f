//! Names of topics and consumer groups.

use std::time::Duration;

use crate::ladder::RetryLadder;

/// A retry topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Its name, prefix included.
    pub topic: String,
    /// The delay as configured, `1m`; the value of the metrics' `tier` label.
    pub label: String,
    /// How long a record waits in it.
    pub delay: Duration,
}

/// A topic that must exist, and what it keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name, prefix included.
    pub name: String,
    /// Which records go, and when.
    pub cleanup: Cleanup,
}

/// Which records of a topic go, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cleanup {
    /// All of them, after this time at least.
    Delete {
        /// How long a record is kept.
        retention: Duration,
    },
    /// Those that a later one of the same key has replaced.
    Compact {
        /// When at the latest a replaced record begins to go.
        lag: Duration,
        /// How long a tombstone can be seen: a reader that was away for longer may miss it.
        tombstones: Duration,
    },
}

impl Cleanup {
    /// As the topic's settings.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let millis = |time: &Duration| time.as_millis().to_string();
        match self {
            Self::Delete { retention } => vec![("retention.ms", millis(retention))],
            Self::Compact { lag, tombstones } => vec![
                ("cleanup.policy", "compact".to_owned()),
                ("max.compaction.lag.ms", millis(lag)),
                ("delete.retention.ms", millis(tombstones)),
            ],
        }
    }
}

const DAY: Duration = Duration::from_hours(24);

/// Every name of one installation. Two installations share a cluster by their prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    prefix: String,
    calendly_events: String,
    stripe_events: String,
    booking_changes: String,
    due: String,
    dlq: String,
    tiers: Vec<Tier>,
}

impl Topics {
    /// The names under `prefix`, with one retry topic per rung of the ladder.
    pub fn new(prefix: &str, ladder: &RetryLadder) -> Self {
        let tier = |rung: &crate::ladder::Rung| Tier {
            topic: format!("{prefix}calendly.events.retry.{}", rung.label),
            label: rung.label.clone(),
            delay: rung.delay,
        };
        Self {
            prefix: prefix.to_owned(),
            calendly_events: format!("{prefix}calendly.events"),
            stripe_events: format!("{prefix}stripe.events"),
            booking_changes: format!("{prefix}bookings.changes"),
            due: format!("{prefix}calendly.events.due"),
            dlq: format!("{prefix}calendly.events.dlq"),
            tiers: ladder.rungs().iter().map(tier).collect(),
        }
    }

    /// Events from Calendly.
    pub fn calendly_events(&self) -> &str {
        &self.calendly_events
    }

    /// Events from Stripe.
    pub fn stripe_events(&self) -> &str {
        &self.stripe_events
    }

    /// The state of every booking after each change.
    pub fn booking_changes(&self) -> &str {
        &self.booking_changes
    }

    /// Retries whose time has come.
    pub fn due(&self) -> &str {
        &self.due
    }

    /// Dead letters.
    pub fn dlq(&self) -> &str {
        &self.dlq
    }

    /// The retry topics, in the ladder's order.
    pub fn tiers(&self) -> &[Tier] {
        &self.tiers
    }

    /// Every topic with what it keeps.
    pub fn specs(&self) -> Vec<TopicSpec> {
        let spec = |name: &str, days: u32| TopicSpec {
            name: name.to_owned(),
            cleanup: Cleanup::Delete { retention: DAY * days },
        };
        // A month to consume or rebuild from; a year for an operator to look at what failed. What waits in a tier or is
        // due is gone in an hour, unless the service that moves it is down for long.
        let mut specs = vec![spec(&self.calendly_events, 30), spec(&self.stripe_events, 30)];
        specs.extend(self.tiers.iter().map(|tier| spec(&tier.topic, 30)));
        specs.extend([spec(&self.due, 30), spec(&self.dlq, 365)]);
        // An erased person must not stay for long behind the tombstone; a reader may be away for a week.
        let cleanup = Cleanup::Compact { lag: DAY, tombstones: DAY * 7 };
        specs.push(TopicSpec { name: self.booking_changes.clone(), cleanup });
        specs
    }

    /// Every topic.
    pub fn all(&self) -> Vec<&str> {
        let tiers = self.tiers.iter().map(|tier| tier.topic.as_str());
        let mut all = vec![self.calendly_events(), self.stripe_events()];
        all.extend(tiers);
        all.extend([self.due(), self.dlq(), self.booking_changes()]);
        all
    }

    /// The name of a consumer group or transactional id, under the prefix.
    pub fn group(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_has_its_settings() {
        let topics = Topics::new("", &RetryLadder::default());
        let specs = topics.specs();
        let (names, all): (Vec<_>, Vec<_>) = (specs.iter().map(|spec| spec.name.as_str()).collect(), topics.all());
        assert_eq!(names, all);
        let settings = |name| specs.iter().find(|spec| spec.name == name).unwrap().cleanup.settings();
        assert_eq!(settings("calendly.events"), [("retention.ms", "2592000000".to_owned())]);
        let compacted = ["compact", "86400000", "604800000"].map(str::to_owned);
        let names = ["cleanup.policy", "max.compaction.lag.ms", "delete.retention.ms"];
        assert_eq!(settings("bookings.changes"), names.into_iter().zip(compacted).collect::<Vec<_>>());
    }

    #[test]
    fn names_follow_the_contract() {
        let topics = Topics::new("eu.", &"1s,60m".parse().unwrap());
        assert_eq!(
            topics.all(),
            [
                "eu.calendly.events",
                "eu.stripe.events",
                "eu.calendly.events.retry.1s",
                "eu.calendly.events.retry.60m",
                "eu.calendly.events.due",
                "eu.calendly.events.dlq",
                "eu.bookings.changes",
            ]
        );
        assert_eq!(topics.tiers()[1].label, "60m");
        assert_eq!(topics.tiers()[1].delay, Duration::from_hours(1));
        assert_eq!(topics.group("processor"), "eu.processor");
        assert_eq!(Topics::new("", &RetryLadder::default()).calendly_events(), "calendly.events");
    }
}
