//! Reads topics from one place to another, outside of any consumer group: for tools that look and do not consume.
//!
//! Where a reading ends is fixed before it begins, so it comes to an end while others write on. Only committed records
//! are seen. A transaction that was open when the ends were taken is waited for: else what it moved would be visible
//! neither where it came from nor where it went.

mod stream;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::metadata::MetadataPartition;
use rdkafka::{Offset, TopicPartitionList};

pub use self::stream::Records;
use super::client::{QuietContext, SetupError};
use super::config::{KafkaConfig, MAX_RECORD_BYTES};

/// One request to the brokers.
const REQUEST: Duration = Duration::from_secs(10);
/// How long an open transaction is waited for. The brokers abort ours after 10 s, and look every 10 s for what to abort.
const STABLE: Duration = Duration::from_secs(40);
const POLL: Duration = Duration::from_millis(20);

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

#[derive(Clone, Copy)]
enum Isolation {
    Committed,
    Uncommitted,
}

fn client(config: &KafkaConfig, group: &str, isolation: Isolation) -> Result<BaseConsumer<QuietContext>, SetupError> {
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

/// Asks until there is an answer: a topic that was just made has no leader yet, a group no coordinator.
fn ask<T>(mut request: impl FnMut() -> KafkaResult<T>) -> KafkaResult<T> {
    let until = Instant::now() + REQUEST;
    loop {
        match request() {
            Err(error) if Instant::now() < until && error.rdkafka_error_code().is_some_and(is_passing) => {
                std::thread::park_timeout(POLL);
            }
            answer => return answer,
        }
    }
}

fn is_passing(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::NotLeaderForPartition
            | RDKafkaErrorCode::LeaderNotAvailable
            | RDKafkaErrorCode::CoordinatorLoadInProgress
            | RDKafkaErrorCode::CoordinatorNotAvailable
            | RDKafkaErrorCode::NotCoordinator
            | RDKafkaErrorCode::UnstableOffsetCommit
            | RDKafkaErrorCode::WaitingForCoordinator
    )
}

/// A list whose partitions all have an answer.
fn answered(list: TopicPartitionList) -> KafkaResult<TopicPartitionList> {
    for element in list.elements() {
        element.error()?;
    }
    Ok(list)
}

fn partitions(client: &BaseConsumer<QuietContext>, topic: &str) -> Result<Vec<i32>, ReadError> {
    let metadata = ask(|| client.fetch_metadata(Some(topic), REQUEST))?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let ids: Vec<i32> =
        found.map_or_else(Vec::new, |found| found.partitions().iter().map(MetadataPartition::id).collect());
    if ids.is_empty() { Err(ReadError::NoTopic(topic.to_owned())) } else { Ok(ids) }
}

fn committed(client: &BaseConsumer<QuietContext>, topics: &[String]) -> Result<Offsets, ReadError> {
    let mut list = TopicPartitionList::new();
    for topic in topics {
        for partition in partitions(client, topic)? {
            list.add_partition(topic, partition);
        }
    }
    // Offsets that are part of an open transaction are told when it ends.
    let list = ask(|| client.committed_offsets(list.clone(), STABLE).and_then(answered))?;
    let mut offsets = Offsets::new();
    for element in list.elements() {
        let offset = if let Offset::Offset(offset) = element.offset() { offset } else { 0 };
        offsets.insert((element.topic().to_owned(), element.partition()), offset);
    }
    Ok(offsets)
}

/// From the oldest record that is kept to the end as it is now, open transactions included.
fn ends(client: &BaseConsumer<QuietContext>, topics: &[String]) -> Result<Vec<Span>, ReadError> {
    let mut spans = Vec::new();
    for topic in topics {
        for partition in partitions(client, topic)? {
            let (from, to) = ask(|| client.fetch_watermarks(topic, partition, REQUEST))?;
            spans.push(Span { topic: topic.clone(), partition, from, to });
        }
    }
    Ok(spans)
}

fn wait_until_stable(client: &BaseConsumer<QuietContext>, spans: &[Span]) -> Result<(), ReadError> {
    let until = Instant::now() + STABLE;
    for span in spans.iter().filter(|span| !span.is_empty()) {
        // Of a client that reads what is committed this is the last stable offset: where the first open transaction begins.
        while ask(|| client.fetch_watermarks(&span.topic, span.partition, REQUEST))?.1 < span.to {
            if Instant::now() >= until {
                return Err(ReadError::OpenTransaction(span.topic.clone()));
            }
            std::thread::park_timeout(POLL);
        }
    }
    Ok(())
}

fn begin(client: &BaseConsumer<QuietContext>, spans: &mut [Span], from: &Start) -> Result<(), ReadError> {
    match from {
        Start::Beginning => {}
        Start::Time(time) => {
            let found = at_time(client, spans, *time)?;
            for (span, offset) in spans.iter_mut().zip(found) {
                span.from = offset.map_or(span.to, |offset| offset.max(span.from));
            }
        }
        Start::Offsets(offsets) => {
            for span in spans {
                let offset = offsets.get(&(span.topic.clone(), span.partition));
                span.from = offset.map_or(span.from, |offset| span.from.max(*offset));
            }
        }
    }
    Ok(())
}

fn cut(client: &BaseConsumer<QuietContext>, spans: &mut [Span], until: Timestamp) -> Result<(), ReadError> {
    let found = at_time(client, spans, until)?;
    for (span, offset) in spans.iter_mut().zip(found) {
        span.to = offset.map_or(span.to, |offset| offset.min(span.to));
    }
    Ok(())
}

/// For each span the first offset of its partition that was written at `time` or later, if there is one.
fn at_time(
    client: &BaseConsumer<QuietContext>,
    spans: &[Span],
    time: Timestamp,
) -> Result<Vec<Option<i64>>, ReadError> {
    let mut list = TopicPartitionList::with_capacity(spans.len());
    for span in spans {
        list.add_partition_offset(&span.topic, span.partition, Offset::Offset(time.as_millisecond().max(0)))?;
    }
    let found = ask(|| client.offsets_for_times(list.clone(), REQUEST).and_then(answered))?;
    let mut offsets = Vec::with_capacity(spans.len());
    for span in spans {
        let element = found.find_partition(&span.topic, span.partition);
        let element = element.ok_or_else(|| ReadError::NoTopic(span.topic.clone()))?;
        offsets.push(if let Offset::Offset(offset) = element.offset() { Some(offset) } else { None });
    }
    Ok(offsets)
}
