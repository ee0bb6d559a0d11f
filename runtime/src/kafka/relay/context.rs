//! Takes what the group gives and takes away, and reports the lag.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, ConsumerGroupMetadata, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::statistics::Statistics;
use rdkafka::{ClientContext, TopicPartitionList};

use super::head::{Head, Partition};
use crate::kafka::client::{QuietContext, report_lag};
use crate::kafka::consumer::vitals::Vitals;
use crate::kafka::statistics::Gauges;

#[derive(Default)]
struct State {
    revoked: Vec<Partition>,
    assigned: Vec<Head>,
    /// As of when the group last told us what is ours.
    membership: Option<Arc<ConsumerGroupMetadata>>,
    mine: HashSet<Partition>,
    held: HashSet<Partition>,
    /// What waits, by topic.
    lags: HashMap<String, i64>,
}

pub(super) struct RelayContext {
    lag_metric: &'static str,
    vitals: Arc<Vitals>,
    gauges: Gauges,
    /// The consumer that this belongs to: splitting a queue off takes an `Arc` of it.
    consumer: OnceLock<Weak<BaseConsumer<RelayContext>>>,
    state: Mutex<State>,
}

impl RelayContext {
    pub(super) fn new(lag_metric: &'static str, vitals: Arc<Vitals>) -> Self {
        Self { lag_metric, vitals, gauges: Gauges::new("relay"), consumer: OnceLock::new(), state: Mutex::default() }
    }

    pub(super) fn belongs_to(&self, consumer: &Arc<BaseConsumer<Self>>) {
        let _ = self.consumer.set(Arc::downgrade(consumer));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was taken away and what was given since the last call.
    pub(super) fn take_changes(&self) -> (Vec<Partition>, Vec<Head>) {
        let mut state = self.lock();
        (std::mem::take(&mut state.revoked), std::mem::take(&mut state.assigned))
    }

    /// The membership that our partitions came with; `None` before the first, or since [`Self::is_outdated`].
    ///
    /// Not asked for anew at each transaction: the client's own thread may have joined the group again meanwhile, as
    /// after a long freeze, and a fresh membership would let us move records of partitions that others have by now.
    pub(super) fn membership(&self) -> Option<Arc<ConsumerGroupMetadata>> {
        self.lock().membership.clone()
    }

    /// The brokers refused the membership: there is a new one to come.
    pub(super) fn is_outdated(&self, membership: &Arc<ConsumerGroupMetadata>) {
        let mut state = self.lock();
        if state.membership.as_ref().is_some_and(|present| Arc::ptr_eq(present, membership)) {
            state.membership = None;
        }
    }

    /// Tells of which partitions a record is held, for the lag.
    pub(super) fn set_held(&self, held: HashSet<Partition>) {
        self.lock().held = held;
    }

    /// How many records of a topic waited when librdkafka last told, of the partitions that are ours.
    pub(super) fn waiting(&self, topic: &str) -> u64 {
        self.lock().lags.get(topic).and_then(|lag| u64::try_from(*lag).ok()).unwrap_or(0)
    }

    /// Splits the queues off before anything is fetched into them.
    fn assign(&self, list: &TopicPartitionList) {
        let Some(consumer) = self.consumer.get().and_then(Weak::upgrade) else { return };
        let mut state = self.lock();
        for element in list.elements() {
            let partition = (element.topic().to_owned(), element.partition());
            let Some(queue) = consumer.split_partition_queue(element.topic(), element.partition()) else {
                // Its records come by the way that ends the session.
                tracing::error!(topic = partition.0, partition = partition.1, "a partition has no queue of its own");
                continue;
            };
            state.mine.insert(partition.clone());
            state.assigned.push(Head::new(partition, queue));
        }
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
        self.gauges.show(&statistics);
        let mut state = self.lock();
        let lags = report_lag(self.lag_metric, &statistics, |topic, partition| {
            // Offsets that a transaction commits do not reach the client's own count: what was taken and is still held,
            // and what was not taken yet, is what waits.
            let held = i64::from(state.held.contains(&(topic.to_owned(), partition.partition)));
            let fetched = partition.next_offset - partition.fetchq_cnt;
            let position = if partition.app_offset >= 0 { partition.app_offset } else { fetched };
            if position < 0 { 0 } else { (partition.ls_offset - position).max(0) + held }
        });
        state.lags = lags.into_iter().map(|(topic, lag)| (topic.to_owned(), lag)).collect();
        self.vitals.take(&statistics, &state.mine);
    }
}

impl ConsumerContext for RelayContext {
    // Both run inside of a poll, so no transaction is open: what is committed is committed, the rest was only read.
    fn pre_rebalance(&self, _consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) => self.assign(list),
            Rebalance::Revoke(list) => {
                let mut state = self.lock();
                for element in list.elements() {
                    let partition = (element.topic().to_owned(), element.partition());
                    state.mine.remove(&partition);
                    state.assigned.retain(|head| *head.partition() != partition);
                    state.revoked.push(partition);
                }
            }
            Rebalance::Error(error) => tracing::warn!(%error, "the consumer group could not be rebalanced"),
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(list) = rebalance {
            let membership = consumer.group_metadata().map(Arc::new);
            self.lock().membership = membership;
            self.vitals.joined();
            tracing::info!(partitions = list.count(), "partitions assigned");
        }
    }
}
