//! Tells whether the brokers answer: for `/readyz`, and as the one log line that an operator needs.

use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::metadata::MetadataTopic;

use super::client::{QuietContext, SetupError};
use super::config::KafkaConfig;
use super::trouble::{Cause, Ear, Trouble, ask};
use crate::health::Component;
use crate::shutdown::Shutdown;

const INTERVAL: Duration = Duration::from_secs(2);
const WITNESS_TIMEOUT: Duration = Duration::from_secs(3);
const TIMEOUT: Duration = Duration::from_millis(1500);

/// Asks the brokers for metadata every two seconds until shutdown, and keeps `component` up to date.
pub fn watch_brokers(config: &KafkaConfig, component: Component, shutdown: Shutdown) -> Result<(), SetupError> {
    let client: BaseConsumer<Ear> = config.client().create_with_context(Ear::default())?;
    let client = std::sync::Arc::new(client);
    let brokers = config.brokers.clone();
    tokio::spawn(async move {
        let mut was = Known::Nothing;
        while !shutdown.is_cancelled() {
            let asked = client.clone();
            let asked = tokio::task::spawn_blocking(move || ask(&asked, TIMEOUT)).await;
            let trouble = asked.unwrap_or_else(|_| Err(Trouble::default())).err();
            let is = trouble.as_ref().map_or(Known::Well, |trouble| Known::Trouble(trouble.cause));
            if is.is_news_after(was) {
                report(trouble.as_ref(), was != Known::Nothing, &brokers, &component);
                was = is;
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    });
    Ok(())
}

/// A client of its own for a second opinion: whether the brokers serve others while one of our clients is stuck.
///
/// Made for one question and dropped after it. Each answer blocks for some seconds at most.
pub(crate) struct Witness {
    client: BaseConsumer<QuietContext>,
}

impl Witness {
    pub(crate) fn new(config: &KafkaConfig, group: Option<&str>) -> Option<Self> {
        let mut client = config.client();
        // As our readers see it: records of a transaction that is still open are not there yet.
        client.set("isolation.level", "read_committed").set("client.id", "calendly-pipeline-witness");
        if let Some(group) = group {
            client.set("group.id", group);
        }
        Some(Self { client: client.create_with_context(QuietContext).ok()? })
    }

    /// Whether the group's coordinator answers.
    pub(crate) fn group_is_served(&self, topic: &str) -> bool {
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition(topic, 0);
        self.client.committed_offsets(list, WITNESS_TIMEOUT).is_ok()
    }

    /// The offset behind the last record of a partition.
    pub(crate) fn end(&self, topic: &str, partition: i32) -> Option<i64> {
        self.client.fetch_watermarks(topic, partition, WITNESS_TIMEOUT).ok().map(|(_, end)| end)
    }

    /// Whether the brokers have a topic of this name, and tell us.
    pub(crate) fn topic_is_known(&self, topic: &str) -> bool {
        let metadata = self.client.fetch_metadata(Some(topic), WITNESS_TIMEOUT);
        metadata.is_ok_and(|metadata| metadata.topics().iter().any(|topic| !topic.partitions().is_empty()))
    }

    /// Whether every partition of a topic has a leader that could take records.
    pub(crate) fn topic_is_served(&self, topic: &str) -> bool {
        let Ok(metadata) = self.client.fetch_metadata(Some(topic), WITNESS_TIMEOUT) else { return false };
        let mut partitions = metadata.topics().iter().flat_map(MetadataTopic::partitions).peekable();
        partitions.peek().is_some() && partitions.all(|partition| partition.leader() >= 0)
    }
}

/// What was last told about the brokers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    Nothing,
    Well,
    Trouble(Cause),
}

impl Known {
    /// A change, or a cause that says more than that nobody answers.
    fn is_news_after(self, was: Self) -> bool {
        match (was, self) {
            (Self::Trouble(before), Self::Trouble(now)) => now != Cause::Unreachable && now != before,
            _ => was != self,
        }
    }
}

fn report(trouble: Option<&Trouble>, again: bool, brokers: &str, component: &Component) {
    match trouble {
        None => {
            component.up();
            if again {
                tracing::info!(brokers, "Kafka answers again");
            }
        }
        Some(trouble) => {
            component.down(trouble.cause.detail());
            tracing::warn!(brokers, reason = %trouble, "Kafka is not reachable; trying on");
        }
    }
}
