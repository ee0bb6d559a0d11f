//! What happens when the group rebalances, and what librdkafka tells about itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::ages::Ages;
use super::flow::{Flow, Partition};
use super::vitals::Vitals;
use crate::kafka::client::{QuietContext, report_lag, resume_assigned, uncommitted};
use crate::kafka::statistics::Gauges;
use crate::metrics::{CONSUMER_HELD_BYTES, CONSUMER_HELD_RECORDS};

/// How long an assignment may wait for the metadata of its committed offsets. Without them more is repeated, no more.
const COMMITTED: Duration = Duration::from_secs(5);

pub(super) struct GroupContext {
    flow: Arc<Flow>,
    vitals: Arc<Vitals>,
    drain: Duration,
    lag_metric: &'static str,
    gauges: Gauges,
    ages: Ages,
}

impl GroupContext {
    pub(super) fn new(flow: Arc<Flow>, vitals: Arc<Vitals>, drain: Duration, lag_metric: &'static str) -> Self {
        Self { flow, vitals, drain, lag_metric, gauges: Gauges::new("consumer"), ages: Ages::default() }
    }

    /// Begins assignments, passing over what the commits' metadata tell to be finished.
    fn assign(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        // An empty list would ask for the whole assignment.
        let committed = match consumer.committed_offsets(list.clone(), COMMITTED) {
            _ if list.count() == 0 => None,
            Ok(committed) => Some(committed),
            Err(error) => {
                tracing::warn!(%error, "what is finished beyond the committed offsets is not known; it is repeated");
                None
            }
        };
        for (topic, partition) in partitions(list) {
            let found = committed.as_ref().and_then(|list| list.find_partition(&topic, partition));
            let known = found.as_ref().and_then(|element| match element.offset() {
                Offset::Offset(offset) => Some((offset, element.metadata())),
                _ => None,
            });
            self.flow.assign(&topic, partition, known);
        }
        self.vitals.joined();
    }

    /// Whether partitions that are revoked belong to another member already, so that a commit would move its offsets.
    ///
    /// librdkafka forgets to say so when it missed its poll interval while a rebalance was under way (its issue 5604);
    /// the time since our last poll tells that case.
    fn lost(&self, consumer: &BaseConsumer<Self>) -> bool {
        consumer.assignment_lost() || self.vitals.since_poll() > super::MAX_POLL_INTERVAL
    }
}

impl ClientContext for GroupContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        QuietContext.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        QuietContext.error(error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        let lags = report_lag(self.lag_metric, &statistics, uncommitted);
        self.ages.show(&lags, &self.flow.oldest_written());
        self.gauges.show(&statistics);
        let (records, bytes) = self.flow.load();
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float, and both are bounded far below 2^52")]
        {
            metrics::gauge!(CONSUMER_HELD_RECORDS).set(records as f64);
            metrics::gauge!(CONSUMER_HELD_BYTES).set(bytes as f64);
        }
        self.vitals.take(&statistics, &self.flow.readable());
    }
}

impl ConsumerContext for GroupContext {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(list) = rebalance {
            let partitions = partitions(list);
            if !self.lost(consumer) {
                self.flow.drain(&partitions, Instant::now() + self.drain);
                let marks = self.flow.last_commits(Some(&partitions));
                super::poller::commit_last(consumer, &self.flow, &marks);
            }
            self.flow.drop_partitions(&partitions);
            tracing::info!(partitions = partitions.len(), "partitions revoked");
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) => {
                resume_assigned(consumer, list);
                self.assign(consumer, list);
                tracing::info!(partitions = list.count(), "partitions assigned");
            }
            Rebalance::Revoke(_) => {}
            Rebalance::Error(error) => tracing::warn!(%error, "the consumer group could not be rebalanced"),
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        // A commit that is a success as a whole may have failed for some of its partitions.
        let whole = result.err();
        for element in offsets.elements() {
            if let Some(error) = whole.clone().or_else(|| element.error().err()) {
                commit_failed(&self.flow, element.topic(), element.partition(), &error);
            }
        }
    }
}

/// Nothing is lost by a failed commit: its records would come again, and their effects are idempotent.
pub(super) fn commit_failed(flow: &Flow, topic: &str, partition: i32, error: &KafkaError) {
    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::OffsetMetadataTooLarge) && flow.commit_plainly() {
        tracing::warn!("the brokers refuse 4 KiB of metadata; restarts repeat more (check offset.metadata.max.bytes)");
    }
    tracing::debug!(topic, partition, %error, "commit failed; it is tried again with the next one");
    flow.forget_commit(topic, partition);
}

fn partitions(list: &TopicPartitionList) -> Vec<Partition> {
    list.elements().iter().map(|element| (element.topic().to_owned(), element.partition())).collect()
}
