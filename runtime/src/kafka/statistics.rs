//! What librdkafka tells about itself every few seconds, as metrics.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::producer::{DeliveryResult, ProducerContext};
use rdkafka::statistics::{Broker, Statistics};
use rdkafka::{ClientConfig, ClientContext};

use super::client::QuietContext;
use crate::metrics::{
    KAFKA_ASSIGNED, KAFKA_BROKER_ERRORS, KAFKA_BROKER_UP, KAFKA_QUEUE_BYTES, KAFKA_QUEUE_MESSAGES, KAFKA_REBALANCES,
    KAFKA_ROUND_TRIP,
};

/// A producer's are for operators alone. A consumer's watch over it as well, and come more often.
const PRODUCER_INTERVAL_MS: &str = "5000";

/// Shows the statistics of one client. A client that takes its place needs one of its own: it counts from zero.
#[derive(Debug)]
pub(crate) struct Gauges {
    client: &'static str,
    counted: Mutex<Counted>,
}

/// Up to where librdkafka's own counts are in our counters.
#[derive(Debug, Default)]
struct Counted {
    errors: BTreeMap<i32, u64>,
    rebalances: u64,
}

impl Gauges {
    /// `client` is the value of the label.
    pub(crate) fn new(client: &'static str) -> Self {
        Self { client, counted: Mutex::default() }
    }

    /// Takes a report.
    pub(crate) fn show(&self, statistics: &Statistics) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        self.show_queues(statistics);
        self.show_brokers(statistics, &mut counted.errors);
        if let Some(group) = &statistics.cgrp {
            metrics::gauge!(KAFKA_ASSIGNED, "client" => self.client).set(f64::from(group.assignment_size));
            let total = u64::try_from(group.rebalance_cnt).unwrap_or(0);
            let more = total.saturating_sub(std::mem::replace(&mut counted.rebalances, total));
            metrics::counter!(KAFKA_REBALANCES, "client" => self.client).increment(more);
        }
    }

    fn show_queues(&self, statistics: &Statistics) {
        let partitions = || statistics.topics.values().flat_map(|topic| topic.partitions.values());
        let fetched: i64 = partitions().map(|partition| partition.fetchq_cnt).sum();
        let messages = statistics.msg_cnt + u64::try_from(fetched).unwrap_or(0);
        let bytes = statistics.msg_size + partitions().map(|partition| partition.fetchq_size).sum::<u64>();
        metrics::gauge!(KAFKA_QUEUE_MESSAGES, "client" => self.client).set(float(messages));
        metrics::gauge!(KAFKA_QUEUE_BYTES, "client" => self.client).set(float(bytes));
    }

    fn show_brokers(&self, statistics: &Statistics, counted: &mut BTreeMap<i32, u64>) {
        // Without a node id: what KAFKA_BROKERS names, until the brokers have told who they are, and the coordinators,
        // which are some of those.
        let brokers = || statistics.brokers.values().filter(|broker| broker.nodeid >= 0);
        for gone in counted.keys().filter(|id| !brokers().any(|broker| broker.nodeid == **id)) {
            metrics::gauge!(KAFKA_BROKER_UP, "client" => self.client, "broker" => gone.to_string()).set(0.0);
        }
        // Who was never needed was never connected to, and is not down; nor is who is needed no more.
        let is_needed =
            |broker: &&Broker| broker.connects.is_none_or(|connects| connects > 0) && broker.state != "INIT";
        for broker in brokers().filter(is_needed) {
            let name = broker.nodeid.to_string();
            let up = if broker.state == "UP" { 1.0 } else { 0.0 };
            metrics::gauge!(KAFKA_BROKER_UP, "client" => self.client, "broker" => name.clone()).set(up);
            let total = broker.txerrs + broker.rxerrs + broker.req_timeouts;
            let more = total.saturating_sub(counted.insert(broker.nodeid, total).unwrap_or(0));
            metrics::counter!(KAFKA_BROKER_ERRORS, "client" => self.client, "broker" => name).increment(more);
            self.show_round_trip(broker);
        }
    }

    fn show_round_trip(&self, broker: &Broker) {
        let Some(window) = &broker.rtt else { return };
        for (percentile, micros) in [("50", window.p50), ("99", window.p99)] {
            let labels = [
                ("client", self.client.to_owned()),
                ("broker", broker.nodeid.to_string()),
                ("percentile", percentile.into()),
            ];
            let micros = float(u64::try_from(micros).unwrap_or(0));
            metrics::gauge!(KAFKA_ROUND_TRIP, &labels).set(micros / 1e6);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float, and none of these numbers comes near 2^52")]
fn float(number: u64) -> f64 {
    number as f64
}

/// What a producer of ours tells: its lines to the log, its statistics to the metrics.
pub(crate) struct ProducerTelling(Gauges);

impl ProducerTelling {
    /// `client` is the value of the label. `config` is made to tell.
    pub(crate) fn new(client: &'static str, config: &mut ClientConfig) -> Self {
        config.set("statistics.interval.ms", PRODUCER_INTERVAL_MS);
        Self(Gauges::new(client))
    }
}

impl ClientContext for ProducerTelling {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        QuietContext.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        QuietContext.error(error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        self.0.show(&statistics);
    }
}

/// For transactions: a record that was not delivered fails the commit, so its own report has nothing to add.
impl ProducerContext for ProducerTelling {
    type DeliveryOpaque = ();

    fn delivery(&self, _report: &DeliveryResult<'_>, (): ()) {}
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use metrics_exporter_prometheus::PrometheusBuilder;
    use rdkafka::statistics::{ConsumerGroup, Window};

    use super::*;

    fn report(errors: u64, state: &str, rebalances: i64) -> Statistics {
        let rtt = Window { p50: 1500, p99: 20_000, ..Window::default() };
        let broker = Broker {
            nodeid: 1,
            state: state.to_owned(),
            connects: Some(1),
            txerrs: errors,
            rtt: Some(rtt),
            ..Broker::default()
        };
        let coordinator = Broker { nodeid: -1, state: "UP".to_owned(), connects: Some(1), ..Broker::default() };
        let unused = Broker { nodeid: 2, state: "INIT".to_owned(), connects: Some(0), ..Broker::default() };
        let brokers = [("b:1/1", broker), ("GroupCoordinator", coordinator), ("b:2/2", unused)];
        Statistics {
            brokers: brokers.into_iter().map(|(name, broker)| (name.to_owned(), broker)).collect::<HashMap<_, _>>(),
            cgrp: Some(ConsumerGroup { assignment_size: 3, rebalance_cnt: rebalances, ..ConsumerGroup::default() }),
            msg_cnt: 7,
            ..Statistics::default()
        }
    }

    #[test]
    fn shows_brokers_that_were_needed_and_counts_what_is_new() {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            let gauges = Gauges::new("consumer");
            gauges.show(&report(2, "UP", 1));
            gauges.show(&report(5, "DOWN", 1));
        });
        let text = recorder.handle().render();
        let has = |line: &str| assert!(text.contains(&format!("\n{line}\n")), "{line} in\n{text}");
        has(r#"kafka_broker_up{client="consumer",broker="1"} 0"#);
        has(r#"kafka_broker_errors_total{client="consumer",broker="1"} 5"#);
        has(r#"kafka_broker_round_trip_seconds{client="consumer",broker="1",percentile="50"} 0.0015"#);
        has(r#"kafka_consumer_assigned_partitions{client="consumer"} 3"#);
        has(r#"kafka_consumer_rebalances_total{client="consumer"} 1"#);
        has(r#"kafka_client_queue_messages{client="consumer"} 7"#);
        assert!(!text.contains(r#"broker="-1""#) && !text.contains(r#"broker="2""#), "{text}");
    }

    #[test]
    fn a_broker_that_is_gone_is_not_up() {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            let gauges = Gauges::new("producer");
            gauges.show(&report(0, "UP", 0));
            gauges.show(&Statistics::default());
        });
        let text = recorder.handle().render();
        assert!(text.contains(r#"kafka_broker_up{client="producer",broker="1"} 0"#), "{text}");
    }
}
