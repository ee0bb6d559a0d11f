//! The due topic, as a consumer sees it.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::{ClientConfig, metadata::MetadataPartition};
use schemas::headers::names::RETRY_DUE_AT;

use crate::bench::Percentiles;

const TOPIC: &str = "calendly.events.due";
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) struct DueTopic {
    consumer: BaseConsumer,
    count: u32,
}

impl DueTopic {
    /// From its present end on, `count` records.
    pub(super) fn open(brokers: &str, count: u32) -> Self {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", "bench")
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("fetch.wait.max.ms", "20")
            .create()
            .expect("a plain consumer can be built");
        let metadata = consumer.fetch_metadata(Some(TOPIC), REQUEST_TIMEOUT).expect("the broker answers");
        let mut list = TopicPartitionList::new();
        for partition in metadata.topics()[0].partitions().iter().map(MetadataPartition::id) {
            list.add_partition_offset(TOPIC, partition, Offset::End).expect("a valid offset");
        }
        consumer.assign(&list).expect("partitions that are there can be assigned");
        Self { consumer, count }
    }

    /// Milliseconds from when each record was due to when it was read.
    pub(super) async fn lateness(self, deadline: Duration) -> Percentiles {
        let read = tokio::task::spawn_blocking(move || {
            let until = Instant::now() + deadline;
            let mut lateness = Vec::new();
            while lateness.len() < self.count as usize {
                assert!(Instant::now() < until, "only {} of {} records were released", lateness.len(), self.count);
                if let Some(Ok(message)) = self.consumer.poll(Duration::from_millis(100)) {
                    lateness.push(Timestamp::now().duration_since(due_at(&message)).as_secs_f64() * 1000.0);
                }
            }
            Percentiles::new(lateness)
        });
        read.await.expect("the records are released")
    }
}

fn due_at(message: &BorrowedMessage<'_>) -> Timestamp {
    let headers = message.headers().expect("released records keep their headers");
    let due_at = headers.iter().find(|header| header.key == RETRY_DUE_AT).and_then(|header| header.value);
    let text = std::str::from_utf8(due_at.expect("and among them when they were due")).expect("headers are text");
    text.parse().expect("a time")
}
