//! Fills a topic fast.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, ClientContext};

const FLUSH_DEADLINE: Duration = Duration::from_mins(1);
const FULL: Duration = Duration::from_millis(5);

/// One record to write.
#[derive(Clone, Debug)]
pub struct Load {
    /// Key.
    pub key: String,
    /// Value.
    pub value: Vec<u8>,
    /// Headers.
    pub headers: OwnedHeaders,
}

/// Counts what the broker did not take.
struct Tally(Arc<AtomicU64>);

impl ClientContext for Tally {}

impl ProducerContext for Tally {
    type DeliveryOpaque = ();

    fn delivery(&self, report: &DeliveryResult<'_>, (): ()) {
        if report.is_err() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Appends all records (`acks=all`), in large batches. Blocks until the broker has them.
///
/// # Panics
/// When the broker does not take them.
pub fn fill(brokers: &str, topic: &str, records: impl Iterator<Item = Load>) {
    let refused = Arc::new(AtomicU64::new(0));
    let producer: ThreadedProducer<Tally> = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("linger.ms", "20")
        .set("batch.size", "100000")
        .set("compression.type", "lz4")
        .set("partitioner", "murmur2_random")
        .create_with_context(Tally(refused.clone()))
        .expect("a plain producer can be built");
    for Load { key, value, headers } in records {
        let mut record = BaseRecord::to(topic).key(&key).payload(&value).headers(headers);
        while let Err((error, back)) = producer.send(record) {
            let full = matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull));
            assert!(full, "no record could be written to {topic}: {error}");
            std::thread::sleep(FULL);
            record = back;
        }
    }
    producer.flush(FLUSH_DEADLINE).unwrap_or_else(|error| panic!("{topic} could not be filled: {error}"));
    let refused = refused.load(Ordering::Relaxed);
    assert_eq!(refused, 0, "{topic} did not take {refused} records");
}
