//! One life of the relay's two clients: read, hold, and move what is due in transactions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, Producer as _};

use super::batch::Batch;
use super::clients::{Producer, consumer_config, producer, setup};
use super::context::RelayContext;
use super::head::{Head, Outgoing};
use super::trace::release_span;
use super::unmoved::Unmoved;
use super::{RelaySettings, TELL, Timetable};
use crate::kafka::client::SetupError;
use crate::kafka::config::KafkaConfig;
use crate::kafka::consumer::vitals::Vitals;
use crate::shutdown::Shutdown;

/// Records that a partition may move before it is another one's turn.
const TURN: usize = 250;
/// The longest wait: how soon a rebalance or a shutdown is noticed.
const MAX_WAIT: Duration = Duration::from_millis(50);
/// Each step of a transaction. Longer than a broker's restart would only delay the new session.
const STEP: Duration = Duration::from_secs(8);
/// A poll never takes this long unless the process was frozen, and then the group may have gone on without it.
const FROZEN: Duration = Duration::from_secs(5);
/// A full queue is emptied by the brokers' reports.
const FULL: Duration = Duration::from_millis(5);
/// A transaction that moved few records is followed by the next one only after this time: its cost does not depend on
/// how many there are.
const GATHER: Duration = Duration::from_millis(25);
/// Below this many records a transaction is small.
const SMALL: usize = 250;
/// How often it is looked whether the brokers have acknowledged a batch.
const GLANCE: Duration = Duration::from_millis(1);

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
    // Before the consumer: it closes only when nothing refers to it any more.
    heads: Vec<Head>,
    consumer: Arc<BaseConsumer<RelayContext>>,
    producer: Producer,
    settings: &'a RelaySettings,
    timetable: &'a T,
    unmoved: &'a Unmoved,
    vitals: Arc<Vitals>,
    life: &'a Shutdown,
    /// Whose turn it is first.
    turn: usize,
    told: Instant,
}

impl<'a, T: Timetable> Session<'a, T> {
    pub(super) fn open(
        config: &KafkaConfig,
        settings: &'a RelaySettings,
        (timetable, unmoved): (&'a T, &'a Unmoved),
        vitals: Arc<Vitals>,
        life: &'a Shutdown,
    ) -> Result<Self, Ended> {
        let producer = producer(config, settings, life)?;
        let context = RelayContext::new(settings.lag_metric, vitals.clone());
        let consumer: BaseConsumer<RelayContext> =
            consumer_config(config, settings).create_with_context(context).map_err(setup)?;
        let consumer = Arc::new(consumer);
        consumer.context().belongs_to(&consumer);
        let topics: Vec<&str> = settings.topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics)?;
        let told = Instant::now();
        Ok(Self { heads: Vec::new(), consumer, producer, settings, timetable, unmoved, vitals, life, turn: 0, told })
    }

    /// Runs until shutdown or until the brokers fail it.
    pub(super) fn run(&mut self) -> Result<(), Ended> {
        while !self.life.is_cancelled() {
            self.serve_group()?;
            match self.move_due()? {
                0 => std::thread::park_timeout(self.time_to_wait()),
                1..SMALL => rest(GATHER),
                _ => {}
            }
        }
        Ok(())
    }

    /// Takes what the group gives and takes away. Records never come this way: each partition has its own queue.
    fn serve_group(&mut self) -> Result<(), Ended> {
        let begun = Instant::now();
        self.vitals.polling();
        match self.consumer.poll(Duration::ZERO) {
            Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => return Err(error.into()),
            Some(Ok(record)) => {
                // Passed over, it would be committed together with what comes behind it.
                tracing::error!(topic = record.topic(), offset = record.offset(), "a record came past its queue");
                return Err(KafkaError::Canceled.into());
            }
            Some(Err(error)) => self.vitals.failed(&error),
            None => {}
        }
        if begun.elapsed() > FROZEN {
            // What was learned in such a poll, above all the membership, may be older than what the group did since.
            return Err(KafkaError::Canceled.into());
        }
        let (revoked, assigned) = self.consumer.context().take_changes();
        self.heads.retain(|head| !revoked.contains(head.partition()));
        for head in &assigned {
            self.unmoved.given(head.partition(), Instant::now());
        }
        self.heads.extend(assigned);
        if self.told.elapsed() > TELL {
            self.told = Instant::now();
            self.tell();
        }
        Ok(())
    }

    fn tell(&self) {
        let (context, now) = (self.consumer.context(), Instant::now());
        let held = || self.heads.iter().filter_map(|head| Some((head.partition(), head.due_at()?)));
        for (partition, due_at) in held() {
            self.unmoved.read(partition, due_at, now);
        }
        if context.membership().is_some() {
            self.unmoved.forget_others(|partition| self.heads.iter().any(|head| head.partition() == partition), now);
        }
        context.set_held(held().map(|(partition, _)| partition.clone()).collect());
        for topic in &self.settings.topics {
            self.timetable.waiting(topic, context.waiting(topic));
        }
    }

    fn time_to_wait(&self) -> Duration {
        let Some(due) = self.heads.iter().filter_map(Head::due_at).min() else { return MAX_WAIT };
        Duration::try_from(due.duration_since(Timestamp::now())).unwrap_or(Duration::ZERO).min(MAX_WAIT)
    }

    /// Moves what is due: all of it and its offsets, or nothing. Tells how many records moved.
    fn move_due(&mut self) -> Result<usize, Ended> {
        let Some(membership) = self.consumer.context().membership() else { return Ok(0) };
        let mut batch = Batch::default();
        let sent = self.send_due(&mut batch);
        for (partition, due) in batch.due() {
            if let Some(first) = due.iter().min() {
                self.unmoved.read(partition, *first, Instant::now());
            }
        }
        let moved = sent.and_then(|()| self.commit(&batch, &membership));
        if let Err(error) = moved {
            // Spares readers the wait for the transaction's timeout.
            let aborted = self.producer.abort_transaction(STEP);
            batch.fail();
            if !is_outdated(&error) || aborted.is_err() {
                return Err(error.into());
            }
            tracing::info!(%error, "the group was rebalanced meanwhile; a batch is read again");
            self.consumer.context().is_outdated(&membership);
            self.read_again(&batch)?;
            return Ok(0);
        }
        let now = Timestamp::now();
        for (partition, due) in batch.due() {
            self.unmoved.moved(partition);
            self.timetable.moved(&partition.0, due, now);
        }
        Ok(batch.len())
    }

    /// Hands what is due to the producer, the partitions in turns, until there is nothing more or the batch is full.
    fn send_due(&mut self, batch: &mut Batch) -> Result<(), KafkaError> {
        let rules = (self.timetable, self.settings.due_header);
        let (count, mut since) = (self.heads.len(), 0);
        while since < count && !batch.is_full() {
            self.turn = (self.turn + 1) % count;
            let Some(head) = self.heads.get_mut(self.turn) else { break };
            let (now, partition) = (Timestamp::now(), head.partition().clone());
            let mut sent = 0;
            while sent < TURN && !batch.is_full() {
                let due = head.take_due(rules, now, |record| {
                    let begin = batch.is_empty();
                    let bytes = record.value.map_or(0, <[u8]>::len);
                    batch.add(&partition, record.offset, record.due_at, bytes);
                    batch.trace(release_span(&partition.0, &self.settings.target, &record));
                    if begin {
                        self.producer.begin_transaction()?;
                    }
                    send(&self.producer, &self.settings.target, record)
                })?;
                if !due {
                    break;
                }
                sent += 1;
            }
            since = if sent > 0 { 0 } else { since + 1 };
        }
        Ok(())
    }

    fn commit(&self, batch: &Batch, membership: &ConsumerGroupMetadata) -> Result<(), KafkaError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.producer.send_offsets_to_transaction(&batch.offsets(), membership, STEP)?;
        self.await_reports();
        self.producer.commit_transaction(STEP)
    }

    /// Waits until the brokers have answered for every record. The commit would too, but it sees the last report only
    /// when its own poll returns, up to 100 ms later. A record that failed makes the commit fail.
    fn await_reports(&self) {
        let deadline = Instant::now() + STEP;
        while self.producer.in_flight_count() > 0 && Instant::now() < deadline {
            std::thread::park_timeout(GLANCE);
        }
    }

    fn read_again(&mut self, batch: &Batch) -> Result<(), Ended> {
        for head in &mut self.heads {
            if batch.due().any(|(partition, _)| partition == head.partition()) {
                head.forget();
            }
        }
        let sought = self.consumer.seek_partitions(batch.starts(), STEP)?;
        for element in sought.elements() {
            // A partition that is gone already fails here. A new session begins with what is ours.
            element.error()?;
        }
        Ok(())
    }
}

/// Rests for the whole time, however often records that arrive wake the thread.
fn rest(time: Duration) {
    let until = Instant::now() + time;
    while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        std::thread::park_timeout(left);
    }
}

/// Whether a commit was refused because the group has changed since our partitions were given to us.
fn is_outdated(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::IllegalGeneration
                | RDKafkaErrorCode::UnknownMemberId
                | RDKafkaErrorCode::RebalanceInProgress
        )
    )
}

fn send(producer: &Producer, topic: &str, record: Outgoing<'_>) -> Result<(), KafkaError> {
    let mut outgoing = BaseRecord::<[u8], [u8]>::to(topic);
    outgoing.key = record.key;
    outgoing.payload = record.value;
    outgoing.headers = record.headers;
    let deadline = Instant::now() + STEP;
    loop {
        match producer.send(outgoing) {
            Ok(()) => return Ok(()),
            Err((error, back)) => {
                let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
                if !full || Instant::now() >= deadline {
                    return Err(error);
                }
                std::thread::park_timeout(FULL);
                outgoing = back;
            }
        }
    }
}
