//! One life of the relay's two clients: poll, hold, and move what is due in transactions.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};

use super::context::RelayContext;
use super::held::{Held, Partition, Waiting};
use super::{RelaySettings, Timetable};
use crate::kafka::client::{QuietContext, SetupError, resume_now};
use crate::kafka::config::{KafkaConfig, MAX_RECORD_BYTES};
use crate::kafka::record::{Record, owned_headers};
use crate::shutdown::Shutdown;

/// Records moved in one transaction.
const MAX_BATCH: usize = 1000;
/// The longest poll: how soon a shutdown is noticed.
const MAX_POLL: Duration = Duration::from_millis(50);
/// Each step of a transaction. Longer than a broker's restart would only delay the new session.
const STEP: Duration = Duration::from_secs(10);

/// Why a session ended.
pub(super) enum Ended {
    Setup(SetupError),
    Broker(KafkaError),
}

impl From<KafkaError> for Ended {
    fn from(error: KafkaError) -> Self {
        Self::Broker(error)
    }
}

pub(super) struct Session<'a, T> {
    consumer: BaseConsumer<RelayContext>,
    producer: BaseProducer<QuietContext>,
    held: Held,
    timetable: &'a T,
    shutdown: &'a Shutdown,
}

impl<'a, T: Timetable> Session<'a, T> {
    pub(super) fn open(
        config: &KafkaConfig,
        settings: &RelaySettings,
        timetable: &'a T,
        shutdown: &'a Shutdown,
    ) -> Result<Self, Ended> {
        let producer: BaseProducer<QuietContext> =
            producer_config(config, settings).create_with_context(QuietContext).map_err(setup)?;
        init_transactions(&producer, shutdown)?;
        let consumer: BaseConsumer<RelayContext> = consumer_config(config, settings)
            .create_with_context(RelayContext::new(settings.lag_metric))
            .map_err(setup)?;
        let topics: Vec<&str> = settings.topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics)?;
        Ok(Self { consumer, producer, held: Held::default(), timetable, shutdown })
    }

    /// Runs until shutdown or until the brokers fail it.
    pub(super) fn run(&mut self) -> Result<(), Ended> {
        while !self.shutdown.is_cancelled() {
            let mut timeout = self.time_to_wait();
            // Reads on without waiting while there is something to read: batches grow with the load.
            for _ in 0..MAX_BATCH {
                if !self.poll(timeout)? {
                    break;
                }
                timeout = Duration::ZERO;
            }
            // A poll that runs a rebalance brings no record, so the loop above ended with it: nothing that was read since
            // is forgotten here.
            for partition in self.consumer.context().take_revoked() {
                self.held.forget(&partition);
            }
            let due = self.held.take_due(Timestamp::now(), MAX_BATCH);
            if !due.is_empty() {
                self.relay(&due)?;
            }
            self.consumer.context().set_held(self.held.counts());
            let resumable = self.held.take_resumable();
            if !resumable.is_empty() {
                resume_now(&self.consumer, &resumable)?;
            }
        }
        Ok(())
    }

    fn time_to_wait(&self) -> Duration {
        let Some(due) = self.held.next_due() else { return MAX_POLL };
        let left = Duration::try_from(due.duration_since(Timestamp::now())).unwrap_or(Duration::ZERO);
        // Polls count in whole milliseconds: rounding up keeps the wake-up from spinning just before the moment.
        (left + Duration::from_micros(999)).min(MAX_POLL)
    }

    /// One poll. True when it brought a record.
    fn poll(&mut self, timeout: Duration) -> Result<bool, Ended> {
        let record = match self.consumer.poll(timeout) {
            None => return Ok(false),
            Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => return Err(error.into()),
            Some(Err(error)) => {
                tracing::debug!(%error, "poll failed");
                return Ok(false);
            }
            Some(Ok(message)) => Record::from_message(&message),
        };
        let departure = self.timetable.departure(&record);
        let partition = (record.topic.clone(), record.partition);
        if self.held.push(Waiting { record, departure }) {
            self.consumer.pause(&list(&[partition]))?;
        }
        Ok(true)
    }

    /// Moves a batch: all of it and its offsets, or nothing.
    fn relay(&self, due: &[Waiting]) -> Result<(), Ended> {
        self.producer.begin_transaction()?;
        let moved = self.send(due).and_then(|()| {
            let group = self.consumer.group_metadata().ok_or(KafkaError::Canceled)?;
            self.producer.send_offsets_to_transaction(&offsets_behind(due), &group, STEP)?;
            self.producer.commit_transaction(STEP)
        });
        if let Err(error) = moved {
            // The session ends with the error; aborting spares readers the wait for the transaction's timeout.
            let _ = self.producer.abort_transaction(STEP);
            return Err(error.into());
        }
        let now = Timestamp::now();
        for Waiting { record, departure } in due {
            self.timetable.departed(record, departure, now);
        }
        Ok(())
    }

    fn send(&self, due: &[Waiting]) -> Result<(), KafkaError> {
        for Waiting { record, departure } in due {
            let key = record.key.as_deref();
            let deadline = Instant::now() + STEP;
            loop {
                let mut outgoing = BaseRecord::<[u8], [u8]>::to(&departure.topic)
                    .payload(&record.value)
                    .headers(owned_headers(&departure.headers));
                if let Some(key) = key {
                    outgoing = outgoing.key(key);
                }
                match self.producer.send(outgoing) {
                    Ok(()) => break,
                    Err((error, _)) => {
                        let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
                        if !full || Instant::now() >= deadline {
                            return Err(error);
                        }
                        // Polling serves delivery reports, which makes room.
                        self.producer.poll(MAX_POLL);
                    }
                }
            }
        }
        Ok(())
    }
}

fn setup(error: KafkaError) -> Ended {
    Ended::Setup(SetupError::from(error))
}

/// Waits for the brokers in short steps, so that a shutdown is noticed.
fn init_transactions(producer: &BaseProducer<QuietContext>, shutdown: &Shutdown) -> Result<(), Ended> {
    loop {
        match producer.init_transactions(Duration::from_secs(2)) {
            Ok(()) => return Ok(()),
            Err(KafkaError::Transaction(error)) if error.is_retriable() && !shutdown.is_cancelled() => {
                tracing::debug!(%error, "the transaction coordinator is not there yet");
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Sleeps, but not through a shutdown.
pub(super) fn wait(shutdown: &Shutdown, duration: Duration) {
    let until = Instant::now() + duration;
    while Instant::now() < until && !shutdown.is_cancelled() {
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn producer_config(config: &KafkaConfig, settings: &RelaySettings) -> rdkafka::ClientConfig {
    let mut client = config.client();
    client
        .set("transactional.id", &settings.transactional_id)
        // A relay that dies inside of a transaction holds up readers for this long at most.
        .set("transaction.timeout.ms", "10000")
        .set("message.timeout.ms", "8000")
        .set("message.max.bytes", MAX_RECORD_BYTES.to_string())
        .set("linger.ms", "0")
        .set("compression.type", "lz4")
        .set("queue.buffering.max.kbytes", "32768")
        .set("partitioner", "murmur2_random");
    client
}

fn consumer_config(config: &KafkaConfig, settings: &RelaySettings) -> rdkafka::ClientConfig {
    let mut client = config.group_member(&settings.group);
    // What waits must not cost memory: little is fetched ahead of the heads.
    client.set("queued.max.messages.kbytes", "4096").set("fetch.message.max.bytes", "1048576");
    client
}

fn list(partitions: &[Partition]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for (topic, partition) in partitions {
        list.add_partition(topic, *partition);
    }
    list
}

fn offsets_behind(batch: &[Waiting]) -> TopicPartitionList {
    let mut next = std::collections::BTreeMap::new();
    for Waiting { record, .. } in batch {
        next.insert((record.topic.as_str(), record.partition), record.offset + 1);
    }
    let mut list = TopicPartitionList::with_capacity(next.len());
    for ((topic, partition), offset) in next {
        // Fails only for an invalid offset, and these came from the broker.
        let _ = list.add_partition_offset(topic, partition, Offset::Offset(offset));
    }
    list
}
