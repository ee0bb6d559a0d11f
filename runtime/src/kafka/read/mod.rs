//! Reads topics from one place to another, outside of any consumer group: for tools that look and do not consume.
//!
//! Where a reading ends is fixed before it begins, so it comes to an end while others write on. Only committed records
//! are seen. A transaction that was open when the ends were taken is waited for: else what it moved would be visible
//! neither where it came from nor where it went.

mod offsets;
mod stream;

use std::collections::BTreeMap;

use jiff::Timestamp;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;

use self::offsets::{begin, committed, cut, ends, wait_until_stable};
pub use self::stream::Records;
use super::client::{QuietContext, SetupError};
use super::config::{KafkaConfig, MAX_RECORD_BYTES};

/// Offsets by topic and partition.
pub type Offsets = BTreeMap<(String, i32), i64>;

/// A part of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Topic, prefix included.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// The first offset.
    pub from: i64,
    /// The offset behind the last one.
    pub to: i64,
}

impl Span {
    /// How many offsets it has; no fewer than records.
    pub fn len(&self) -> u64 {
        u64::try_from(self.to - self.from).unwrap_or(0)
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.from >= self.to
    }
}

/// Where to begin.
#[derive(Clone, Debug)]
pub enum Start {
    /// At the oldest record that is kept.
    Beginning,
    /// At the first record that was written at this time or later.
    Time(Timestamp),
    /// At these offsets; a partition that is not among them from its beginning.
    Offsets(Offsets),
}

/// Topics cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A client could not be built.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// A topic is not there.
    #[error("topic {0} does not exist; `calctl topics apply` creates it (check TOPIC_PREFIX)")]
    NoTopic(String),
    /// A request failed or had no answer.
    #[error("Kafka does not answer ({0}); check KAFKA_BROKERS")]
    Broker(KafkaError),
    /// Nothing came for a long time, though the topic has more.
    #[error("topic {0} stopped coming; are all brokers up?")]
    Stalled(String),
    /// A transaction stayed open.
    #[error("a transaction on topic {0} stays open; is a retrier hanging?")]
    OpenTransaction(String),
    /// The reading thread is gone.
    #[error("the reader's thread ended unexpectedly")]
    ThreadLost,
}

impl From<KafkaError> for ReadError {
    fn from(error: KafkaError) -> Self {
        Self::Broker(error)
    }
}

/// Reads topics. Cheap to make; each question opens and closes its own clients.
#[derive(Clone, Debug)]
pub struct TopicReader {
    config: KafkaConfig,
}

impl TopicReader {
    /// A reader on these brokers.
    pub fn new(config: &KafkaConfig) -> Self {
        Self { config: config.clone() }
    }

    /// What each group has committed of its topics, the groups one after the other; a partition of which nothing is
    /// committed is at 0.
    pub async fn committed(&self, groups: &[(String, Vec<&str>)]) -> Result<Vec<Offsets>, ReadError> {
        // All clients first: each takes up to a second to find its group's coordinator.
        let mut asked = Vec::with_capacity(groups.len());
        for (group, topics) in groups {
            asked.push((client(&self.config, group, Isolation::Committed)?, owned(topics)));
        }
        blocking(move || asked.iter().map(|(client, topics)| committed(client, topics)).collect()).await
    }

    /// The parts of these topics between `from` and now, or the first record that was written at `until` or later.
    pub async fn spans(&self, topics: &[&str], from: Start, until: Option<Timestamp>) -> Result<Vec<Span>, ReadError> {
        let all = client(&self.config, &self.group(), Isolation::Uncommitted)?;
        let settled = client(&self.config, &self.group(), Isolation::Committed)?;
        let topics = owned(topics);
        blocking(move || {
            let mut spans = ends(&all, &topics)?;
            wait_until_stable(&settled, &spans)?;
            begin(&all, &mut spans, &from)?;
            if let Some(until) = until {
                cut(&all, &mut spans, until)?;
            }
            Ok(spans)
        })
        .await
    }

    /// Reads these parts, topic by topic.
    pub fn records(&self, spans: Vec<Span>) -> Result<Records, ReadError> {
        let (config, group) = (self.config.clone(), self.group());
        Records::start(spans, move || client(&config, &group, Isolation::Committed))
    }

    /// librdkafka wants a group's name even from clients that never join one.
    fn group(&self) -> String {
        format!("{}calctl", self.config.prefix)
    }
}

type Client = BaseConsumer<QuietContext>;

#[derive(Clone, Copy)]
enum Isolation {
    Committed,
    Uncommitted,
}

fn client(config: &KafkaConfig, group: &str, isolation: Isolation) -> Result<Client, SetupError> {
    let level = match isolation {
        Isolation::Committed => "read_committed",
        Isolation::Uncommitted => "read_uncommitted",
    };
    let mut client = config.client();
    client
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .set("enable.partition.eof", "true")
        .set("isolation.level", level)
        .set("fetch.wait.max.ms", "50")
        .set("queued.max.messages.kbytes", "16384")
        // librdkafka's own pause, a second, would be most of a long reading.
        .set("fetch.queue.backoff.ms", "10")
        .set("fetch.max.bytes", MAX_RECORD_BYTES.to_string())
        .set("receive.message.max.bytes", (2 * MAX_RECORD_BYTES + 1024 * 1024).to_string());
    Ok(client.create_with_context(QuietContext)?)
}

fn owned(topics: &[&str]) -> Vec<String> {
    topics.iter().map(|topic| (*topic).to_owned()).collect()
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ReadError> + Send + 'static,
) -> Result<T, ReadError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(ReadError::ThreadLost))
}
