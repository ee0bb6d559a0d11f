//! The thread that polls: takes records in, keeps to the limits, commits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::context::{GroupContext, commit_failed};
use super::flow::{Flow, Mark, Partition};
use super::vitals::Vitals;
use super::{ConsumerError, ConsumerSettings, Handler};
use crate::kafka::client::{SetupError, resume_now};
use crate::kafka::config::KafkaConfig;
use crate::kafka::record::Record;
use crate::shutdown::Shutdown;

const POLL: Duration = Duration::from_millis(50);
/// Records taken in at once.
const BATCH: usize = 128;
/// Bytes of records taken in at once, as long as it is one record.
const BATCH_BYTES: usize = 1024 * 1024;
const COMMIT_INTERVAL: Duration = Duration::from_millis(200);
/// How long the last commit of an assignment is tried.
const LAST_COMMIT: Duration = Duration::from_secs(3);
/// How long a full house is waited for before intake is paused for real. Until then nothing is polled.
const FULL: Duration = Duration::from_secs(1);

/// Why a poller ended.
pub(super) enum Ended {
    Stopped,
    Failed(ConsumerError),
}

pub(super) struct Poller<H> {
    consumer: BaseConsumer<GroupContext>,
    pub(super) flow: Arc<Flow>,
    pub(super) vitals: Arc<Vitals>,
    handler: Arc<H>,
    /// Stops the whole consumer.
    service: Shutdown,
    /// Stops this client: with the whole consumer, or to be replaced.
    life: Shutdown,
    runtime: tokio::runtime::Handle,
    drain: Duration,
}

impl<H: Handler> Poller<H> {
    /// Subscribes. Must be called within a runtime, which will run the handler.
    pub(super) fn new(
        config: &KafkaConfig,
        settings: &ConsumerSettings,
        handler: Arc<H>,
        service: Shutdown,
        life: Shutdown,
    ) -> Result<Self, ConsumerError> {
        let (flow, vitals) = (Arc::new(Flow::new(settings.concurrency)), Arc::new(Vitals::new()));
        let context = GroupContext::new(flow.clone(), vitals.clone(), settings.drain, settings.lag_metric);
        let consumer: BaseConsumer<GroupContext> =
            client(config, settings).create_with_context(context).map_err(SetupError::from)?;
        let topics: Vec<&str> = settings.topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics).map_err(SetupError::from)?;
        let runtime = tokio::runtime::Handle::current();
        Ok(Self { consumer, flow, vitals, handler, service, life, runtime, drain: settings.drain })
    }

    /// Polls until told to stop, and reports the end when the group is left. Closing a client that is to be replaced may
    /// take for ever, so nobody waits for that.
    pub(super) fn run(self, report: impl FnOnce(Ended)) {
        let ended = self.poll_until_stopped().map_or_else(Ended::Failed, |()| Ended::Stopped);
        self.finish();
        if self.service.is_cancelled() {
            drop(self);
            report(ended);
        } else {
            report(ended);
            drop(self);
        }
    }

    fn poll_until_stopped(&self) -> Result<(), ConsumerError> {
        let (mut last_commit, mut full_since) = (Instant::now(), None);
        let mut records = Vec::with_capacity(BATCH);
        while !self.life.is_cancelled() {
            let full = if self.flow.wait_for_room(POLL) {
                full_since = None;
                false
            } else {
                full_since.get_or_insert_with(Instant::now).elapsed() >= FULL
            };
            if full || full_since.is_none() {
                // Before the poll, so that a full house stays as it is while the membership is kept.
                self.regulate(full);
                self.poll(&mut records)?;
            }
            if self.flow.handler_panicked() {
                return Err(ConsumerError::HandlerPanicked);
            }
            if self.flow.record_abandoned() && !self.service.is_cancelled() {
                return Err(ConsumerError::Abandoned);
            }
            if last_commit.elapsed() >= COMMIT_INTERVAL {
                if self.may_commit() {
                    let _ = commit(&self.consumer, &self.flow, &self.flow.take_commits(), CommitMode::Async);
                }
                last_commit = Instant::now();
            }
        }
        Ok(())
    }

    /// Takes in what is there, up to a batch, and waits a moment when there is nothing.
    fn poll(&self, records: &mut Vec<Record>) -> Result<(), ConsumerError> {
        self.vitals.polling();
        let (mut timeout, mut bytes) = (POLL, 0);
        while records.len() < BATCH && bytes < BATCH_BYTES {
            match self.consumer.poll(timeout) {
                Some(Ok(message)) => {
                    let record = Record::from_message(&message);
                    bytes += record.weight();
                    records.push(record);
                }
                Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => return Err(ConsumerError::Fatal(error)),
                Some(Err(error)) => self.vitals.failed(&error),
                None => break,
            }
            timeout = Duration::ZERO;
        }
        let lanes = self.flow.accept(records.drain(..));
        if !lanes.is_empty() {
            let (flow, handler) = (self.flow.clone(), self.handler.clone());
            // Tasks that are spawned from within the runtime cost it less than those from another thread.
            self.runtime.spawn(async move {
                for lane in lanes {
                    let (flow, handler) = (flow.clone(), handler.clone());
                    tokio::spawn(async move { flow.run_lane(lane, &*handler).await });
                }
            });
        }
        Ok(())
    }

    /// Pauses what is too far ahead of its handlers and resumes what has caught up; polling goes on all the while.
    fn regulate(&self, full: bool) {
        let (pause, resume) = self.flow.regulate(full);
        if !pause.is_empty()
            && let Err(error) = self.consumer.pause(&list(&pause))
        {
            tracing::debug!(%error, "partitions could not be paused");
        }
        if !resume.is_empty()
            && let Err(error) = resume_now(&self.consumer, &resume)
        {
            tracing::debug!(%error, "partitions could not be resumed");
        }
    }

    /// Lost partitions are another member's. Their revocation, which is on its way, forgets them.
    fn may_commit(&self) -> bool {
        !self.consumer.assignment_lost()
    }

    /// Stops intake, lets what runs finish, commits it. Dropping the consumer then leaves the group.
    fn finish(&self) {
        let deadline = Instant::now() + self.drain;
        self.flow.stop_by(deadline);
        if let Ok(assignment) = self.consumer.assignment() {
            let _ = self.consumer.pause(&assignment);
        }
        while Instant::now() < deadline && !self.flow.wait_idle(POLL) {
            // Keeps the membership alive; partitions are paused, so a message here is one that slipped through.
            let _ = self.consumer.poll(Duration::ZERO);
        }
        if self.may_commit() {
            let marks = self.flow.last_commits(None);
            if self.service.is_cancelled() {
                commit_last(&self.consumer, &self.flow, &marks);
            } else {
                // From a client that is to be replaced the answer may never come.
                let _ = commit(&self.consumer, &self.flow, &marks, CommitMode::Async);
            }
        }
    }
}

fn client(config: &KafkaConfig, settings: &ConsumerSettings) -> rdkafka::ClientConfig {
    let mut client = config.group_member(&settings.group);
    client.set("queued.max.messages.kbytes", "16384").set("fetch.message.max.bytes", "1048576");
    client
}

fn list(partitions: &[Partition]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for (topic, partition) in partitions {
        list.add_partition(topic, *partition);
    }
    list
}

/// Commits and waits for it. Groups refuse commits for moments while they are being rebalanced.
pub(super) fn commit_last(consumer: &BaseConsumer<GroupContext>, flow: &Flow, marks: &[Mark]) {
    let until = Instant::now() + LAST_COMMIT;
    while let Err(error) = commit(consumer, flow, marks, CommitMode::Sync) {
        let passes = matches!(
            error.rdkafka_error_code(),
            Some(RDKafkaErrorCode::RebalanceInProgress | RDKafkaErrorCode::CoordinatorLoadInProgress)
        );
        if !passes || Instant::now() >= until {
            tracing::warn!(%error, "the last commit failed; what was finished since the one before is repeated");
            return;
        }
        std::thread::park_timeout(POLL);
    }
}

fn commit(
    consumer: &BaseConsumer<GroupContext>,
    flow: &Flow,
    marks: &[Mark],
    mode: CommitMode,
) -> Result<(), KafkaError> {
    if marks.is_empty() {
        return Ok(());
    }
    let mut list = TopicPartitionList::with_capacity(marks.len());
    for mark in marks {
        let mut element = list.add_partition(&mark.topic, mark.partition);
        // Fails only for an invalid offset, and these came from the broker.
        let _ = element.set_offset(Offset::Offset(mark.offset));
        if !mark.beyond.is_empty() {
            element.set_metadata(&mark.beyond);
        }
    }
    consumer.commit(&list, mode).inspect_err(|error| {
        for mark in marks {
            commit_failed(flow, &mark.topic, mark.partition, error);
        }
    })
}
