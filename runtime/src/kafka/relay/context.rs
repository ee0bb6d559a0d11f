//! Tells the session which partitions it lost, and reports the lag.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::statistics::Statistics;

use super::held::Partition;
use crate::kafka::client::{QuietContext, report_lag, resume_assigned};

pub(super) struct RelayContext {
    lag_metric: &'static str,
    revoked: Mutex<Vec<Partition>>,
    held: Mutex<BTreeMap<Partition, i64>>,
}

impl RelayContext {
    pub(super) fn new(lag_metric: &'static str) -> Self {
        Self { lag_metric, revoked: Mutex::default(), held: Mutex::default() }
    }

    /// Tells how many records of each partition are held, for the lag.
    pub(super) fn set_held(&self, held: BTreeMap<Partition, i64>) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = held;
    }

    /// The partitions revoked since the last call.
    pub(super) fn take_revoked(&self) -> Vec<Partition> {
        std::mem::take(&mut *self.revoked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ClientContext for RelayContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        QuietContext.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        QuietContext.error(error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        report_lag(self.lag_metric, &statistics, |topic, partition| {
            // Offsets that a transaction commits do not reach the client's own count: what was read and is still held,
            // and what was not read yet, is what waits.
            let held = held.get(&(topic.to_owned(), partition.partition)).copied().unwrap_or(0);
            let fetched = partition.next_offset - partition.fetchq_cnt;
            let position = if partition.app_offset >= 0 { partition.app_offset } else { fetched };
            if position < 0 { 0 } else { (partition.ls_offset - position).max(0) + held }
        });
    }
}

impl ConsumerContext for RelayContext {
    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(list) = rebalance {
            resume_assigned(consumer, list);
            tracing::info!(partitions = list.count(), "partitions assigned");
        }
    }

    fn pre_rebalance(&self, _consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            // Runs inside of a poll, so no transaction is open: what is committed is committed, the rest was only read.
            Rebalance::Revoke(list) => {
                let mut revoked = self.revoked.lock().unwrap_or_else(PoisonError::into_inner);
                revoked.extend(list.elements().iter().map(|e| (e.topic().to_owned(), e.partition())));
            }
            Rebalance::Assign(_) => {}
            Rebalance::Error(error) => tracing::warn!(%error, "the consumer group could not be rebalanced"),
        }
    }
}
