//! What happens when the group rebalances, and the lag that librdkafka reports.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::statistics::Statistics;
use rdkafka::{ClientContext, TopicPartitionList};

use super::flow::{Flow, Partition};
use crate::kafka::client::{QuietContext, report_lag, resume_assigned, uncommitted};

pub(super) struct GroupContext {
    flow: Arc<Flow>,
    drain: Duration,
    lag_metric: &'static str,
}

impl GroupContext {
    pub(super) fn new(flow: Arc<Flow>, drain: Duration, lag_metric: &'static str) -> Self {
        Self { flow, drain, lag_metric }
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
        report_lag(self.lag_metric, &statistics, uncommitted);
    }
}

impl ConsumerContext for GroupContext {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(list) = rebalance {
            let partitions = partitions(list);
            // Lost partitions already belong to another member: a commit would move its offsets.
            if !consumer.assignment_lost() {
                self.flow.drain(&partitions, Instant::now() + self.drain);
                let offsets = self.flow.take_commits(Some(&partitions));
                super::commit(consumer, &self.flow, &offsets, CommitMode::Sync);
            }
            self.flow.drop_partitions(&partitions);
            tracing::info!(partitions = partitions.len(), "partitions revoked");
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) => {
                resume_assigned(consumer, list);
                let partitions = partitions(list);
                self.flow.assign(&partitions);
                tracing::info!(partitions = partitions.len(), "partitions assigned");
            }
            Rebalance::Revoke(_) => {}
            Rebalance::Error(error) => tracing::warn!(%error, "the consumer group could not be rebalanced"),
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::debug!(%error, "commit failed; it is tried again with the next one");
            let failed: Vec<_> = partitions(offsets).into_iter().map(|(topic, number)| (topic, number, 0)).collect();
            self.flow.forget_commits(&failed);
        }
    }
}

fn partitions(list: &TopicPartitionList) -> Vec<Partition> {
    list.elements().iter().map(|element| (element.topic().to_owned(), element.partition())).collect()
}
