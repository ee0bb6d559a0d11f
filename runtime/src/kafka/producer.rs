//! A producer whose send resolves with the broker's delivery report, never with the mere enqueue.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use schemas::headers::Pair;
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use self::pulse::Pulse;
use super::client::SetupError;
use super::config::{KafkaConfig, MAX_RECORD_BYTES};
use super::probe::Witness;
use super::record::owned_headers;
use super::statistics::ProducerTelling;
use crate::metrics::{KAFKA_CLIENT_REBUILDS, KAFKA_SEND_FAILURES};
use crate::telemetry::SPANS;

mod pulse;

/// How long after its time limit a report may come: librdkafka looks once a second for records whose time is up.
const GRACE: Duration = Duration::from_secs(3);

/// A record to be sent.
#[derive(Debug)]
pub struct OutgoingRecord<'a> {
    /// Topic, prefix included.
    pub topic: &'a str,
    /// Key: records of one key go to one partition.
    pub key: Option<&'a [u8]>,
    /// Value.
    pub value: &'a [u8],
    /// Headers; a name should occur once.
    pub headers: &'a [Pair<'a>],
}

/// Where a record is now durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Partition.
    pub partition: i32,
    /// Offset within the partition.
    pub offset: i64,
}

/// Why a record is not known to be durable.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The client's own queue is full: the brokers are away or too slow. Nothing was sent.
    #[error("the producer's queue is full")]
    QueueFull,
    /// The brokers will never take this record as it is.
    #[error("the brokers refuse the record: {0}")]
    Refused(RDKafkaErrorCode),
    /// No delivery report came in time, or it was a failure that another try can mend.
    #[error("not delivered: {0}")]
    NotDelivered(String),
}

impl SendError {
    const REASONS: [&str; 3] = ["queue_full", "refused", "not_delivered"];

    /// The value of the `reason` label.
    pub fn reason(&self) -> &'static str {
        let [queue_full, refused, not_delivered] = Self::REASONS;
        match self {
            Self::QueueFull => queue_full,
            Self::Refused(_) => refused,
            Self::NotDelivered(_) => not_delivered,
        }
    }
}

/// A producer with `acks=all` and idempotence. Cheap to clone.
///
/// When sends keep failing while an independent client finds the topic served, the client is replaced: librdkafka's can
/// lose its brokers for ever (its issue 5301).
#[derive(Clone)]
pub struct Producer {
    shared: Arc<Shared>,
}

struct Shared {
    config: KafkaConfig,
    client: ClientConfig,
    current: RwLock<FutureProducer<ProducerTelling>>,
    pulse: Pulse,
    /// When a report is not waited for any longer.
    overdue: Duration,
}

impl Producer {
    /// Builds the client. `delivery_timeout` bounds each send, from the call to the report.
    pub fn new(config: &KafkaConfig, delivery_timeout: Duration) -> Result<Self, SetupError> {
        let client = client(config, delivery_timeout);
        let current = RwLock::new(build(&client)?);
        metrics::counter!(KAFKA_CLIENT_REBUILDS, "client" => "producer").increment(0);
        for reason in SendError::REASONS {
            metrics::counter!(KAFKA_SEND_FAILURES, "reason" => reason).increment(0);
        }
        let (config, pulse, overdue) = (config.clone(), Pulse::default(), delivery_timeout + GRACE);
        Ok(Self { shared: Arc::new(Shared { config, client, current, pulse, overdue }) })
    }

    /// Sends one record and waits until the brokers have it on all in-sync replicas.
    pub async fn send(&self, record: &OutgoingRecord<'_>) -> Result<Delivered, SendError> {
        let mut future_record =
            FutureRecord::<[u8], [u8]>::to(record.topic).payload(record.value).headers(owned_headers(record.headers));
        if let Some(key) = record.key {
            future_record = future_record.key(key);
        }
        // Kept until the report is there: a client that is replaced meanwhile still delivers what it was given.
        let client = self.current();
        // `send_result` and not `send`: the latter spins on a full queue.
        let delivery = match client.send_result(future_record) {
            Ok(delivery) => delivery,
            Err((error, _)) => return Err(self.failed(record.topic, classify(&error))),
        };
        match tokio::time::timeout(self.shared.overdue, delivery).await {
            Ok(Ok(Ok(report))) => {
                self.shared.pulse.beat();
                Ok(Delivered { partition: report.partition, offset: report.offset })
            }
            Ok(Ok(Err((error, _)))) => Err(self.failed(record.topic, classify(&error))),
            Ok(Err(_)) => Err(SendError::NotDelivered("the producer was closed".to_owned())),
            // A client that has lost its brokers may not even keep its own time limit.
            Err(_) => {
                let error = SendError::NotDelivered("no delivery report came at all".to_owned());
                Err(self.failed(record.topic, error))
            }
        }
    }

    /// The same, as a span of the trace that the caller is in.
    pub async fn publish(&self, record: &OutgoingRecord<'_>) -> Result<Delivered, SendError> {
        let span = publish_span(record.topic);
        let sent = self.send(record).instrument(span.clone()).await;
        end_publish_span(&span, sent.as_ref());
        sent
    }

    /// Waits until nothing is queued, or the deadline has passed.
    pub async fn flush(&self, deadline: Duration) {
        let producer = self.current();
        // The flush blocks its thread.
        let flushed = tokio::task::spawn_blocking(move || producer.flush(deadline)).await;
        if !matches!(flushed, Ok(Ok(()))) {
            tracing::warn!("records were still undelivered when the producer was flushed");
        }
    }

    fn current(&self) -> FutureProducer<ProducerTelling> {
        self.shared.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes note of a failure, and looks after the client when failures are all there is.
    fn failed(&self, topic: &str, error: SendError) -> SendError {
        metrics::counter!(KAFKA_SEND_FAILURES, "reason" => error.reason()).increment(1);
        match error {
            SendError::NotDelivered(_) | SendError::QueueFull if self.shared.pulse.missed() => {
                let (shared, topic) = (self.shared.clone(), topic.to_owned());
                tokio::task::spawn_blocking(move || shared.examine(&topic));
            }
            // A refusal is an answer.
            SendError::Refused(_) => self.shared.pulse.beat(),
            SendError::NotDelivered(_) | SendError::QueueFull => {}
        }
        error
    }
}

impl Shared {
    /// Asks another client whether the topic is served, and if so replaces ours.
    fn examine(&self, topic: &str) {
        let served = Witness::new(&self.config, None).is_some_and(|witness| witness.topic_is_served(topic));
        if !self.pulse.examined(served) {
            return;
        }
        match build(&self.client) {
            Ok(client) => {
                tracing::warn!("the producer delivers nothing though the brokers answer; built it anew");
                metrics::counter!(KAFKA_CLIENT_REBUILDS, "client" => "producer").increment(1);
                let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
                // Dropped only after the lock: the last owner's drop waits for the client's threads.
                let former = std::mem::replace(&mut *current, client);
                drop(current);
                drop(former);
            }
            Err(error) => tracing::warn!(%error, "the producer delivers nothing and cannot be built anew"),
        }
    }
}

/// The span of a record's way to the brokers, for who tries again and again. To be ended with [`end_publish_span`].
pub fn publish_span(topic: &str) -> Span {
    tracing::info_span!(
        target: SPANS, "publish", otel.kind = "producer", messaging.system = "kafka", messaging.operation.type = "send",
        messaging.destination.name = topic, messaging.destination.partition.id = Empty, messaging.kafka.offset = Empty,
        error.type = Empty, otel.status_code = Empty,
    )
}

/// Notes on a [`publish_span`] what became of the record.
pub fn end_publish_span(span: &Span, sent: Result<&Delivered, &SendError>) {
    match sent {
        Ok(delivered) => {
            span.record("messaging.destination.partition.id", delivered.partition);
            span.record("messaging.kafka.offset", delivered.offset);
        }
        Err(error) => {
            span.record("error.type", error.reason());
            span.record("otel.status_code", "ERROR");
        }
    }
}

fn client(config: &KafkaConfig, delivery_timeout: Duration) -> ClientConfig {
    let mut client = config.client();
    client
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("message.timeout.ms", delivery_timeout.as_millis().to_string())
        .set("message.max.bytes", MAX_RECORD_BYTES.to_string())
        // Nothing waits to be joined by others; decision 45 has what waiting would be worth.
        .set("linger.ms", "0")
        .set("compression.type", "lz4")
        .set("queue.buffering.max.kbytes", "65536")
        // The Java clients' partitioner, so that other producers of a key choose the same partition.
        .set("partitioner", "murmur2_random");
    client
}

/// A client that counts its statistics from zero.
fn build(client: &ClientConfig) -> Result<FutureProducer<ProducerTelling>, KafkaError> {
    let mut client = client.clone();
    let telling = ProducerTelling::new("producer", &mut client);
    client.create_with_context(telling)
}

fn classify(error: &KafkaError) -> SendError {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::QueueFull) => SendError::QueueFull,
        Some(
            code @ (RDKafkaErrorCode::MessageSizeTooLarge
            | RDKafkaErrorCode::InvalidMessage
            | RDKafkaErrorCode::InvalidMessageSize
            | RDKafkaErrorCode::InvalidRecord),
        ) => SendError::Refused(code),
        Some(code) => SendError::NotDelivered(code.to_string()),
        None => SendError::NotDelivered(error.to_string()),
    }
}
