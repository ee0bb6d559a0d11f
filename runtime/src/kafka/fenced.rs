//! A producer of which there is one at a time: whoever opens it shuts out whoever had it before.
//!
//! What the one before still has on its way is refused by the brokers from then on. So who reads a state after opening
//! and writes it knows that nothing older can come behind it, however long its predecessor was frozen.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};

use super::client::SetupError;
use super::config::{KafkaConfig, MAX_RECORD_BYTES};
use super::statistics::ProducerTelling;

/// Each step of a transaction.
const STEP: Duration = Duration::from_secs(10);
/// How often it is looked whether the brokers have acknowledged everything.
const GLANCE: Duration = Duration::from_millis(1);

/// A record without headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyedRecord {
    /// Records of one key go to one partition.
    pub key: String,
    /// `None` is a tombstone: compaction forgets the key.
    pub value: Option<Vec<u8>>,
}

/// Why nothing is known to be written. The producer is of no use afterwards; a new one may be opened.
#[derive(Debug, thiserror::Error)]
pub enum FencedError {
    /// The client could not be built.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The brokers do not answer, refuse it, or somebody else has opened the producer since.
    #[error("the brokers did not take the transaction: {0}")]
    Broker(#[from] KafkaError),
    /// Writing panicked, or the runtime is shutting down.
    #[error("writing was cut short")]
    CutShort,
}

/// The only producer with its transactional id.
pub struct FencedProducer {
    producer: Arc<ThreadedProducer<ProducerTelling>>,
}

impl FencedProducer {
    /// Builds the client and shuts out the one that had this transactional id before. What that one had not committed is
    /// aborted.
    ///
    /// # Errors
    /// When the brokers do not answer within ten seconds, or refuse the id.
    pub async fn open(config: &KafkaConfig, transactional_id: &str) -> Result<Self, FencedError> {
        let mut client = config.client();
        client
            .set("transactional.id", transactional_id)
            // A process that dies inside of a transaction holds up readers for this long at most.
            .set("transaction.timeout.ms", "15000")
            .set("message.timeout.ms", "10000")
            .set("message.max.bytes", MAX_RECORD_BYTES.to_string())
            // All of a transaction's records for a partition in one request.
            .set("linger.ms", "5")
            // As the relay's: transactions that follow one another wait for the brokers' markers.
            .set("retry.backoff.ms", "5")
            .set("compression.type", "lz4")
            .set("partitioner", "murmur2_random");
        blocking(move || {
            let telling = ProducerTelling::new("fenced_producer", &mut client);
            let producer: ThreadedProducer<ProducerTelling> =
                client.create_with_context(telling).map_err(SetupError::from)?;
            producer.init_transactions(STEP)?;
            Ok(Self { producer: Arc::new(producer) })
        })
        .await
    }

    /// Ends the client's threads, which takes a moment: dropping it would hold up the executor.
    pub async fn close(self) {
        let closed = tokio::task::spawn_blocking(move || drop(self.producer)).await;
        if let Err(error) = closed {
            tracing::debug!(%error, "a producer was not closed in an orderly way");
        }
    }

    /// Writes all of it, or nothing, and waits until the brokers have it.
    pub async fn write(&self, topic: &str, records: Vec<KeyedRecord>) -> Result<(), FencedError> {
        let (producer, topic) = (self.producer.clone(), topic.to_owned());
        blocking(move || {
            producer.begin_transaction()?;
            for record in &records {
                let mut outgoing = BaseRecord::<[u8], [u8]>::to(&topic).key(record.key.as_bytes());
                outgoing.payload = record.value.as_deref();
                producer.send(outgoing).map_err(|(error, _)| error)?;
            }
            Ok(())
        })
        .await?;
        // The commit would wait too, but it looks for the last report every 100 ms only.
        let deadline = Instant::now() + STEP;
        while self.producer.in_flight_count() > 0 && Instant::now() < deadline {
            tokio::time::sleep(GLANCE).await;
        }
        let producer = self.producer.clone();
        // Fails if any record did.
        blocking(move || Ok(producer.commit_transaction(STEP)?)).await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FencedError> + Send + 'static,
) -> Result<T, FencedError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| FencedError::CutShort)?
}
