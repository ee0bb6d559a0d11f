//! Plain clients for tests: what is in a topic, as any consumer would see it.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::metadata::MetadataPartition;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const READ_DEADLINE: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(50);

/// What to see of transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Committed records only, as our services and the data teams read.
    Committed,
    /// Also records of open and aborted transactions.
    Uncommitted,
}

/// One record of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Partition.
    pub partition: i32,
    /// Offset in the partition.
    pub offset: i64,
    /// Key.
    pub key: Option<Vec<u8>>,
    /// Value; empty for a tombstone.
    pub value: Vec<u8>,
    /// Headers, in their order, repeated ones too.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Timestamp in milliseconds.
    pub timestamp: i64,
}

impl Message {
    /// The header `name` as text; fails when it is there more than once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(header, _)| header == name);
        let value = values.next().map(|(_, value)| std::str::from_utf8(value).expect("headers are text"));
        assert!(values.next().is_none(), "header {name} is repeated: {:?}", self.headers);
        value
    }

    /// The key as text.
    pub fn key_str(&self) -> Option<&str> {
        self.key.as_deref().map(|key| std::str::from_utf8(key).expect("keys are text"))
    }

    fn copy(message: &BorrowedMessage<'_>) -> Self {
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
        Message {
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().unwrap_or_default().to_vec(),
            headers: headers.map(|h| (h.key.to_owned(), h.value.unwrap_or_default().to_vec())).collect(),
            timestamp: message.timestamp().to_millis().unwrap_or(-1),
        }
    }
}

/// Everything in `topic` up to the end offsets at the time of the call, by partition and offset.
///
/// # Panics
/// When the topic does not exist (a misspelt name would make any "is not there" true) or cannot be read.
pub async fn read_all(brokers: &str, topic: &str, isolation: Isolation) -> Vec<Message> {
    let (brokers, topic) = (brokers.to_owned(), topic.to_owned());
    tokio::task::spawn_blocking(move || {
        let reader = Reader::open(&brokers, &topic, isolation).unwrap_or_else(|error| panic!("{error}"));
        reader.read_to_end()
    })
    .await
    .expect("the reader does not panic")
}

/// Reads `topic` (committed records) from its beginning until `enough` is true of what was read, and returns that.
/// The topic need not exist yet.
///
/// # Panics
/// When `deadline` passes first; the message tells what was read.
pub async fn wait_for(
    brokers: &str,
    topic: &str,
    deadline: Duration,
    mut enough: impl FnMut(&[Message]) -> bool + Send + 'static,
) -> Vec<Message> {
    let (brokers, topic) = (brokers.to_owned(), topic.to_owned());
    let read = tokio::task::spawn_blocking(move || {
        let until = Instant::now() + deadline;
        let mut reader = None;
        let mut messages = Vec::new();
        while !enough(&messages) {
            assert!(Instant::now() < until, "gave up after {deadline:?}; {topic} has {}", summary(&messages));
            if reader.is_none() {
                reader = Reader::open(&brokers, &topic, Isolation::Committed).ok();
            }
            match &reader {
                Some(reader) => messages.extend(reader.poll().and_then(Result::ok)),
                None => std::thread::sleep(POLL),
            }
        }
        messages
    });
    read.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

fn summary(messages: &[Message]) -> String {
    let mut text = format!("{} records", messages.len());
    for message in messages.iter().rev().take(5) {
        let headers: Vec<_> =
            message.headers.iter().map(|(k, v)| format!("{k}={}", String::from_utf8_lossy(v))).collect();
        let _ = write!(text, "\n  {}/{} {}", message.partition, message.offset, headers.join(" "));
    }
    text
}

struct Reader {
    consumer: BaseConsumer,
    topic: String,
    partitions: Vec<i32>,
}

impl Reader {
    fn open(brokers: &str, topic: &str, isolation: Isolation) -> Result<Self, String> {
        let level = if isolation == Isolation::Committed { "read_committed" } else { "read_uncommitted" };
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", "reader-of-tests")
            .set("isolation.level", level)
            .set("enable.partition.eof", "true")
            .set("enable.auto.commit", "false")
            .set("fetch.wait.max.ms", "50")
            .set("reconnect.backoff.max.ms", "500")
            .create()
            .map_err(|error| error.to_string())?;
        let metadata = consumer.fetch_metadata(Some(topic), REQUEST_TIMEOUT).map_err(|error| error.to_string())?;
        let partitions: Vec<_> = metadata.topics()[0].partitions().iter().map(MetadataPartition::id).collect();
        if partitions.is_empty() {
            return Err(format!("topic {topic} does not exist"));
        }
        let mut assignment = TopicPartitionList::new();
        for partition in &partitions {
            let added = assignment.add_partition_offset(topic, *partition, Offset::Beginning);
            added.map_err(|error| error.to_string())?;
        }
        consumer.assign(&assignment).map_err(|error| error.to_string())?;
        Ok(Reader { consumer, topic: topic.to_owned(), partitions })
    }

    fn poll(&self) -> Option<Result<Message, KafkaError>> {
        Some(self.consumer.poll(POLL)?.map(|message| Message::copy(&message)))
    }

    fn read_to_end(&self) -> Vec<Message> {
        let ends: HashMap<i32, i64> =
            self.partitions.iter().map(|partition| (*partition, self.end(*partition))).collect();
        let mut open: HashSet<i32> = self.partitions.iter().copied().collect();
        let mut messages = Vec::new();
        let until = Instant::now() + READ_DEADLINE;
        while !open.is_empty() {
            assert!(Instant::now() < until, "{} could not be read to its end in {READ_DEADLINE:?}", self.topic);
            match self.poll() {
                Some(Ok(message)) if message.offset < ends[&message.partition] => {
                    if message.offset + 1 == ends[&message.partition] {
                        open.remove(&message.partition);
                    }
                    messages.push(message);
                }
                // The end of a transaction takes an offset and is no record: only this event tells of the end then.
                Some(Err(KafkaError::PartitionEOF(partition))) => drop(open.remove(&partition)),
                Some(Ok(message)) => drop(open.remove(&message.partition)),
                Some(Err(_)) | None => {}
            }
        }
        messages.sort_by_key(|message| (message.partition, message.offset));
        messages
    }

    fn end(&self, partition: i32) -> i64 {
        let marks = self.consumer.fetch_watermarks(&self.topic, partition, REQUEST_TIMEOUT);
        marks.unwrap_or_else(|error| panic!("no offsets of {}/{partition}: {error}", self.topic)).1
    }
}

/// Appends records with the same headers through one producer, and waits for the broker's word on all of them.
pub async fn produce_many(brokers: &str, topic: &str, headers: &[(&str, &[u8])], records: &[(String, Vec<u8>)]) {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("enable.idempotence", "true")
        .create()
        .expect("a plain producer can be built");
    let owned = OwnedHeaders::new_with_capacity(headers.len());
    let owned = headers.iter().fold(owned, |all, (key, value)| all.insert(Header { key, value: Some(*value) }));
    let sends = records.iter().map(|(key, value)| {
        producer.send(FutureRecord::to(topic).key(key).payload(value).headers(owned.clone()), REQUEST_TIMEOUT)
    });
    for delivery in futures_util::future::join_all(sends).await {
        delivery.unwrap_or_else(|(error, _)| panic!("no record could be written to {topic}: {error}"));
    }
}

/// Appends a record and waits for the broker's word; returns partition and offset.
pub async fn produce(
    brokers: &str,
    topic: &str,
    key: Option<&[u8]>,
    value: &[u8],
    headers: &[(&str, &[u8])],
) -> (i32, i64) {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("enable.idempotence", "true")
        .set("message.max.bytes", "100000000")
        .create()
        .expect("a plain producer can be built");
    let owned = OwnedHeaders::new_with_capacity(headers.len());
    let owned = headers.iter().fold(owned, |all, (key, value)| all.insert(Header { key, value: Some(*value) }));
    let mut record = FutureRecord::<[u8], [u8]>::to(topic).payload(value).headers(owned);
    record.key = key;
    let delivery = producer.send(record, REQUEST_TIMEOUT).await;
    let delivery = delivery.unwrap_or_else(|(error, _)| panic!("no record could be written to {topic}: {error}"));
    (delivery.partition, delivery.offset)
}

/// Creates a topic that no service creates.
pub async fn create_topic(brokers: &str, topic: &str, partitions: i32) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", brokers).create().expect("a plain client can be built");
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    let options = AdminOptions::new().operation_timeout(Some(REQUEST_TIMEOUT));
    let results = admin.create_topics([&new], &options).await.expect("the broker answers");
    for result in results {
        result.unwrap_or_else(|(topic, code)| panic!("{topic} could not be created: {code}"));
    }
}
