//! How the relay's two clients are set up.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::{Producer as _, ThreadedProducer};

use super::RelaySettings;
use super::session::Ended;
use crate::kafka::client::SetupError;
use crate::kafka::config::{KafkaConfig, MAX_RECORD_BYTES};
use crate::kafka::statistics::ProducerTelling;
use crate::shutdown::Shutdown;

/// How many records librdkafka reads ahead of each partition before it stops for the time being. Some hundreds are what
/// a partition can be read at between two transactions; each costs about 1.5 KiB with its headers, in every partition.
const READ_AHEAD_RECORDS: &str = "200";
/// The same in KiB of keys and values.
const READ_AHEAD_KIB: &str = "256";
/// What one answer holds of a partition, at least one batch. A batch that was read stays in memory until the last record
/// of it has been moved, so this bounds memory more than anything else; it counts before decompression.
const FETCH_BYTES: &str = "65536";
/// What one answer holds in all.
const FETCH_TOTAL_BYTES: &str = "1048576";

/// A producer whose delivery reports are served by a thread of its own: a transaction can only be aborted while somebody
/// serves them.
pub(super) type Producer = ThreadedProducer<ProducerTelling>;

pub(super) fn producer(config: &KafkaConfig, settings: &RelaySettings, life: &Shutdown) -> Result<Producer, Ended> {
    let mut client = config.client();
    client
        .set("transactional.id", &settings.transactional_id)
        // A relay that dies inside of a transaction holds up readers for this long at most.
        .set("transaction.timeout.ms", "10000")
        .set("message.timeout.ms", "8000")
        .set("message.max.bytes", MAX_RECORD_BYTES.to_string())
        .set("linger.ms", "0")
        // A transaction that follows upon another is asked to wait until the brokers have marked the end of that one
        // everywhere, some milliseconds. With the default it would wait for 100 ms, several times over.
        .set("retry.backoff.ms", "5")
        .set("compression.type", "lz4")
        // No reservation. Less than the largest record, and that one would stay where it is for ever.
        .set("queue.buffering.max.kbytes", (2 * MAX_RECORD_BYTES / 1024).to_string())
        .set("partitioner", "murmur2_random");
    let telling = ProducerTelling::new("relay_producer", &mut client);
    let producer: Producer = client.create_with_context(telling).map_err(setup)?;
    init_transactions(&producer, life)?;
    Ok(producer)
}

pub(super) fn consumer_config(config: &KafkaConfig, settings: &RelaySettings) -> ClientConfig {
    let mut client = config.group_member(&settings.group);
    // What waits must not cost memory.
    client
        .set("queued.min.messages", READ_AHEAD_RECORDS)
        .set("queued.max.messages.kbytes", READ_AHEAD_KIB)
        .set("fetch.message.max.bytes", FETCH_BYTES)
        .set("fetch.max.bytes", FETCH_TOTAL_BYTES);
    client
}

pub(super) fn setup(error: KafkaError) -> Ended {
    Ended::Setup(SetupError::from(error))
}

/// How often a producer asks for its transactional id, two seconds each. One that has no answer by then is replaced: it
/// has been seen to wait for ever for a coordinator that others were served by.
const INIT_TRIES: u32 = 10;

/// Waits for the brokers in short steps, so that a shutdown is noticed.
fn init_transactions(producer: &Producer, life: &Shutdown) -> Result<(), Ended> {
    let mut tries = 1;
    loop {
        match producer.init_transactions(Duration::from_secs(2)) {
            Ok(()) => return Ok(()),
            Err(KafkaError::Transaction(error))
                if error.is_retriable() && tries < INIT_TRIES && !life.is_cancelled() =>
            {
                tries += 1;
                tracing::debug!(%error, "the transaction coordinator is not there yet");
            }
            Err(error) => return Err(error.into()),
        }
    }
}
