//! Tells the session which partitions it lost, and reports the lag.

use std::sync::{Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::statistics::Statistics;

use super::held::Partition;
use crate::kafka::client::{QuietContext, report_lag};

pub(super) struct RelayContext {
    lag_metric: &'static str,
    revoked: Mutex<Vec<Partition>>,
}

impl RelayContext {
    pub(super) fn new(lag_metric: &'static str) -> Self {
        Self { lag_metric, revoked: Mutex::default() }
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
        report_lag(self.lag_metric, &statistics);
    }
}

impl ConsumerContext for RelayContext {
    fn pre_rebalance(&self, _consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            // Runs inside of a poll, so no transaction is open: what is committed is committed, the rest was only read.
            Rebalance::Revoke(list) => {
                let mut revoked = self.revoked.lock().unwrap_or_else(PoisonError::into_inner);
                revoked.extend(list.elements().iter().map(|e| (e.topic().to_owned(), e.partition())));
            }
            Rebalance::Assign(list) => tracing::info!(partitions = list.count(), "partitions assigned"),
            Rebalance::Error(error) => tracing::warn!(%error, "the consumer group could not be rebalanced"),
        }
    }
}
