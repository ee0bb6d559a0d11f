//! Every metric: its name, what it says, its buckets. Named once, here.

use std::sync::OnceLock;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// Requests to a webhook, by `source` and `outcome`.
pub const WEBHOOK_REQUESTS: &str = "webhook_requests_total";
/// Time from a webhook request to its answer, by `source`.
pub const WEBHOOK_REQUEST_DURATION: &str = "webhook_request_duration_seconds";
/// Deliveries that were taken though they were late, by `source`.
pub const WEBHOOK_LATE_DELIVERIES: &str = "webhook_late_deliveries_total";
/// Records in the spool.
pub const SPOOL_RECORDS: &str = "spool_records";
/// Bytes in the spool.
pub const SPOOL_BYTES: &str = "spool_bytes";
/// Age of the oldest record in the spool.
pub const SPOOL_OLDEST: &str = "spool_oldest_record_seconds";
/// Authentic deliveries by the `position` of the key that had signed them, by `source`.
pub const WEBHOOK_KEY_MATCHES: &str = "webhook_key_matches_total";
/// Records that the processor finished, by `event_type` and `outcome`.
pub const EVENTS_PROCESSED: &str = "events_processed_total";
/// Time that the processor spent on a record, by `event_type`.
pub const EVENT_PROCESSING_DURATION: &str = "event_processing_duration_seconds";
/// Time from a delivery's receipt to its effect, by `event_type`.
pub const EVENT_END_TO_END: &str = "event_end_to_end_seconds";
/// Records sent to a retry tier, by `tier` and `error_class`.
pub const RETRIES_SCHEDULED: &str = "retries_scheduled_total";
/// Records that left a retry tier, by `tier`.
pub const RETRIES_RELEASED: &str = "retries_released_total";
/// How long after it was due a record left its tier, by `tier`.
pub const RETRY_RELEASE_LATENESS: &str = "retry_release_lateness_seconds";
/// Records sent to the DLQ, by `error_class`.
pub const DEAD_LETTERS: &str = "dead_letters_total";
/// Whether the processor holds events back, by `cause`.
pub const BREAKER_OPEN: &str = "breaker_open";
/// How often the processor began to hold events back, by `cause`.
pub const BREAKER_TRIPS: &str = "breaker_trips_total";
/// Requests to Stripe, by `operation` and `outcome`.
pub const STRIPE_REQUESTS: &str = "stripe_requests_total";
/// Time that a request to Stripe took, by `operation`.
pub const STRIPE_REQUEST_DURATION: &str = "stripe_request_duration_seconds";
/// Records not yet consumed, by `topic`.
pub const CONSUMER_LAG: &str = "consumer_lag_records";
/// Records in a consumer's memory.
pub const CONSUMER_HELD_RECORDS: &str = "consumer_held_records";
/// Bytes of the records in a consumer's memory.
pub const CONSUMER_HELD_BYTES: &str = "consumer_held_bytes";
/// Kafka clients that made no progress and were built anew, by `client`.
pub const KAFKA_CLIENT_REBUILDS: &str = "kafka_client_rebuilds_total";
/// Whether Calendly's subscription is active.
pub const CALENDLY_SUBSCRIPTION_ACTIVE: &str = "calendly_subscription_active";

const HTTP_SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0];
const PROCESSING_SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
// Up to two hours: an event that walks all tiers is 1 h 51 min old when its last try ends.
const END_TO_END_SECONDS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0,
    7200.0,
];
// A record must leave within a second of its due time, so that is where the detail is.
const LATENESS_SECONDS: &[f64] =
    &[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
const STRIPE_SECONDS: &[f64] = &[0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0];

enum Kind {
    Counter,
    Gauge,
    Histogram(&'static [f64]),
}

struct Metric {
    name: &'static str,
    help: &'static str,
    kind: Kind,
}

impl Metric {
    const fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: Kind::Counter }
    }

    const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: Kind::Gauge }
    }

    const fn histogram(name: &'static str, buckets: &'static [f64], help: &'static str) -> Self {
        Self { name, help, kind: Kind::Histogram(buckets) }
    }

    fn describe(&self) {
        match self.kind {
            Kind::Counter => metrics::describe_counter!(self.name, self.help),
            Kind::Gauge => metrics::describe_gauge!(self.name, self.help),
            Kind::Histogram(_) => metrics::describe_histogram!(self.name, self.help),
        }
    }
}

const ALL: &[Metric] = &[
    Metric::counter(WEBHOOK_REQUESTS, "Webhook requests by outcome."),
    Metric::histogram(WEBHOOK_REQUEST_DURATION, HTTP_SECONDS, "Time from a webhook request to its answer."),
    Metric::counter(WEBHOOK_LATE_DELIVERIES, "Authentic deliveries that were taken though they were late."),
    Metric::gauge(SPOOL_RECORDS, "Records that wait in the spool for Kafka."),
    Metric::gauge(SPOOL_BYTES, "Bytes that wait in the spool for Kafka."),
    Metric::gauge(SPOOL_OLDEST, "Age of the oldest record in the spool; 0 when it is empty."),
    Metric::counter(WEBHOOK_KEY_MATCHES, "Authentic deliveries by the position of the key that had signed them."),
    Metric::counter(EVENTS_PROCESSED, "Records that the processor finished, by outcome; each counts once."),
    Metric::histogram(EVENT_PROCESSING_DURATION, PROCESSING_SECONDS, "Time that the processor spent on a record."),
    Metric::histogram(EVENT_END_TO_END, END_TO_END_SECONDS, "Time from the receipt of a delivery to its effect."),
    Metric::counter(RETRIES_SCHEDULED, "Records sent to a retry tier."),
    Metric::counter(RETRIES_RELEASED, "Records that were due and left their retry tier."),
    Metric::histogram(RETRY_RELEASE_LATENESS, LATENESS_SECONDS, "How long after its due time a record left its tier."),
    Metric::counter(DEAD_LETTERS, "Records sent to the dead-letter topic."),
    Metric::gauge(BREAKER_OPEN, "1 while events are held back because most of them fail for this cause."),
    Metric::counter(BREAKER_TRIPS, "How often events began to be held back."),
    Metric::counter(STRIPE_REQUESTS, "Requests to Stripe by outcome."),
    Metric::histogram(STRIPE_REQUEST_DURATION, STRIPE_SECONDS, "Time that a request to Stripe took."),
    Metric::gauge(CONSUMER_LAG, "Records of a topic that its consumer group has not finished."),
    Metric::gauge(CONSUMER_HELD_RECORDS, "Records that the consumer holds in memory, running ones included."),
    Metric::gauge(CONSUMER_HELD_BYTES, "Bytes of the records that the consumer holds in memory."),
    Metric::counter(KAFKA_CLIENT_REBUILDS, "Kafka clients that made no progress while the brokers were there."),
    Metric::gauge(CALENDLY_SUBSCRIPTION_ACTIVE, "1 while Calendly's webhook subscription is active, else 0."),
];

/// The metrics of this process cannot be recorded.
#[derive(Clone, Debug, thiserror::Error)]
#[error("cannot install the metrics recorder: {0}")]
pub struct InstallError(String);

/// Installs the recorder of this process, once; later calls return the same handle.
pub fn install() -> Result<PrometheusHandle, InstallError> {
    static INSTALLED: OnceLock<Result<PrometheusHandle, InstallError>> = OnceLock::new();
    let install = || {
        let handle = builder().and_then(PrometheusBuilder::install_recorder);
        handle.inspect(|_| describe_all()).map_err(|error| InstallError(error.to_string()))
    };
    INSTALLED.get_or_init(install).clone()
}

fn builder() -> Result<PrometheusBuilder, BuildError> {
    ALL.iter().try_fold(PrometheusBuilder::new(), |builder, metric| match metric.kind {
        Kind::Histogram(buckets) => builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), buckets),
        Kind::Counter | Kind::Gauge => Ok(builder),
    })
}

fn describe_all() {
    ALL.iter().for_each(Metric::describe);
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
