//! The keyed consumer: many records in flight, order kept per key, and only what is finished is ever committed.
//!
//! One thread of its own polls librdkafka, so that neither a slow handler nor a busy executor can miss
//! `max.poll.interval.ms`. Records go to *lanes*, one per key: a lane runs one record at a time, different lanes run
//! at the same time, up to `concurrency`. The offset that is committed is the oldest unfinished one.

mod context;
mod flow;
mod tracker;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::oneshot;

use self::context::GroupContext;
use self::flow::Flow;
use super::client::{SetupError, resume_now};
use super::config::KafkaConfig;
use super::record::Record;
use crate::shutdown::Shutdown;

const POLL: Duration = Duration::from_millis(50);
const COMMIT_INTERVAL: Duration = Duration::from_millis(200);

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completion {
    /// Dealt with, durably: its offset may be committed.
    Done,
    /// Not dealt with (the service is stopping): it will be delivered again.
    Abandoned,
}

/// What a service does with a record.
pub trait Handler: Send + Sync + 'static {
    /// Resolves when a record may begin; at once, unless a handler says otherwise.
    ///
    /// A breaker holds records here, for hours if need be: polling goes on, the membership stays, and memory is bounded
    /// because intake pauses. A held record does not count as running: a rebalance or a shutdown does not wait for it,
    /// but drops this future. When it resolves, [`Handler::handle`] follows within the same task, unless the partition
    /// goes at that very moment; so a breaker that lets one record through must not wait for its outcome for ever.
    fn admit(&self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// Deals with one record. Must not return [`Completion::Done`] before every effect is durable.
    fn handle(&self, record: Record) -> impl Future<Output = Completion> + Send;
}

/// What a keyed consumer reads, and how eagerly.
#[derive(Clone, Debug)]
pub struct ConsumerSettings {
    /// Consumer group, prefix included.
    pub group: String,
    /// Topics, prefix included.
    pub topics: Vec<String>,
    /// Records handled at the same time, over all partitions.
    pub concurrency: usize,
    /// How long in-flight records may take to finish when partitions are revoked or the service stops.
    pub drain: Duration,
    /// Gauge that gets the lag per topic.
    pub lag_metric: &'static str,
}

/// The consumer ended without being told to.
#[derive(Debug, thiserror::Error)]
pub enum ConsumerError {
    /// The client could not be built or subscribed.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// librdkafka declared the client unusable.
    #[error("the Kafka consumer failed for good: {0}")]
    Fatal(KafkaError),
    /// A handler panicked: a bug, and its record is not committed.
    #[error("a record handler panicked; its record stays uncommitted")]
    HandlerPanicked,
    /// The polling thread is gone.
    #[error("the consumer's thread ended unexpectedly")]
    ThreadLost,
}

/// Consumes until shutdown, drains, commits and leaves the group.
pub async fn run<H: Handler>(
    config: &KafkaConfig,
    settings: ConsumerSettings,
    handler: Arc<H>,
    shutdown: Shutdown,
) -> Result<(), ConsumerError> {
    let flow = Arc::new(Flow::new(settings.concurrency));
    let context = GroupContext::new(flow.clone(), settings.drain, settings.lag_metric);
    let consumer: BaseConsumer<GroupContext> =
        client(config, &settings).create_with_context(context).map_err(SetupError::from)?;
    let topics: Vec<&str> = settings.topics.iter().map(String::as_str).collect();
    consumer.subscribe(&topics).map_err(SetupError::from)?;

    let (ended, end) = oneshot::channel();
    let runtime = tokio::runtime::Handle::current();
    let poller = Poller { consumer, flow, handler, shutdown, runtime, drain: settings.drain };
    std::thread::Builder::new()
        .name("kafka-consumer".to_owned())
        .spawn(move || {
            let _ = ended.send(poller.run());
        })
        .map_err(|_| ConsumerError::ThreadLost)?;
    end.await.map_err(|_| ConsumerError::ThreadLost)?
}

fn client(config: &KafkaConfig, settings: &ConsumerSettings) -> rdkafka::ClientConfig {
    let mut client = config.group_member(&settings.group);
    client.set("queued.max.messages.kbytes", "16384").set("fetch.message.max.bytes", "1048576");
    client
}

struct Poller<H> {
    consumer: BaseConsumer<GroupContext>,
    flow: Arc<Flow>,
    handler: Arc<H>,
    shutdown: Shutdown,
    runtime: tokio::runtime::Handle,
    drain: Duration,
}

impl<H: Handler> Poller<H> {
    fn run(self) -> Result<(), ConsumerError> {
        let mut last_commit = Instant::now();
        while !self.shutdown.is_cancelled() {
            match self.consumer.poll(POLL) {
                Some(Ok(message)) => self.accept(Record::from_message(&message)),
                Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => return Err(ConsumerError::Fatal(error)),
                Some(Err(error)) => tracing::debug!(%error, "poll failed"),
                None => {}
            }
            if self.flow.handler_panicked() {
                return Err(ConsumerError::HandlerPanicked);
            }
            self.regulate();
            if last_commit.elapsed() >= COMMIT_INTERVAL {
                self.commit(CommitMode::Async);
                last_commit = Instant::now();
            }
        }
        self.finish();
        Ok(())
    }

    fn accept(&self, record: Record) {
        let Some(lane) = self.flow.accept(record) else { return };
        let (flow, handler) = (self.flow.clone(), self.handler.clone());
        self.runtime.spawn(async move { flow.run_lane(lane, &*handler).await });
    }

    /// Pauses what is too far ahead of its handlers and resumes what has caught up; polling goes on all the while.
    fn regulate(&self) {
        let (pause, resume) = self.flow.regulate();
        if !pause.is_empty() {
            let mut list = TopicPartitionList::with_capacity(pause.len());
            for (topic, partition) in &pause {
                list.add_partition(topic, *partition);
            }
            if let Err(error) = self.consumer.pause(&list) {
                tracing::debug!(%error, "partitions could not be paused");
            }
        }
        if let Err(error) = if resume.is_empty() { Ok(()) } else { resume_now(&self.consumer, &resume) } {
            tracing::debug!(%error, "partitions could not be resumed");
        }
    }

    fn commit(&self, mode: CommitMode) {
        commit(&self.consumer, &self.flow, &self.flow.take_commits(None), mode);
    }

    /// Stops intake, lets what runs finish, commits it. Dropping the consumer then leaves the group.
    fn finish(&self) {
        self.flow.stop();
        if let Ok(assignment) = self.consumer.assignment() {
            let _ = self.consumer.pause(&assignment);
        }
        let deadline = Instant::now() + self.drain;
        while Instant::now() < deadline && !self.flow.wait_idle(POLL) {
            // Keeps the membership alive; partitions are paused, so a message here is one that slipped through.
            let _ = self.consumer.poll(Duration::ZERO);
        }
        self.commit(CommitMode::Sync);
    }
}

fn commit(consumer: &BaseConsumer<GroupContext>, flow: &Flow, offsets: &[(String, i32, i64)], mode: CommitMode) {
    if offsets.is_empty() {
        return;
    }
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (topic, partition, offset) in offsets {
        let _ = list.add_partition_offset(topic, *partition, Offset::Offset(*offset));
    }
    if let Err(error) = consumer.commit(&list, mode) {
        // Nothing is lost: these records would come again, and their effects are idempotent.
        tracing::debug!(%error, "commit failed; it is tried again with the next one");
        flow.forget_commits(offsets);
    }
}
