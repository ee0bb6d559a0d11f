//! What each metric says, and the buckets of the histograms: as fine as the question about them is.

use super::names::{
    BREAKER_OPEN, BREAKER_TRIPS, BUILD_INFO, CALENDLY_BACKFILL_OPEN, CALENDLY_BACKFILLED_EVENTS,
    CALENDLY_SUBSCRIPTION_ACTIVE, CALENDLY_SUBSCRIPTION_CHECKS, CALENDLY_SUBSCRIPTION_FAILING, CHANGES_OLDEST_PENDING,
    CHANGES_PENDING, CHANGES_PUBLISHED, CONSUMER_HELD_BYTES, CONSUMER_HELD_RECORDS, CONSUMER_LAG, CONSUMER_OLDEST,
    DATABASE_POOL_CONNECTIONS, DATABASE_POOL_LIMIT, DATABASE_POOL_WAITING, DATABASE_TRANSACTION_DURATION,
    DATABASE_TRANSACTION_REQUESTS, DEAD_LETTERS, DEPENDENCY_UP, DLQ_RECORDS, EVENT_END_TO_END,
    EVENT_PROCESSING_DURATION, EVENTS_PROCESSED, KAFKA_ASSIGNED, KAFKA_BROKER_ERRORS, KAFKA_BROKER_UP,
    KAFKA_CLIENT_REBUILDS, KAFKA_QUEUE_BYTES, KAFKA_QUEUE_MESSAGES, KAFKA_REBALANCES, KAFKA_ROUND_TRIP,
    KAFKA_SEND_FAILURES, PAYMENTS, PAYMENTS_AMOUNT, REFUNDS, REFUNDS_AMOUNT, RETRIES_RELEASED, RETRIES_SCHEDULED,
    RETRY_OVERDUE, RETRY_RELEASE_LATENESS, RETRY_WAITING, SERVICE_READY, SPOOL_BYTES, SPOOL_LIMIT, SPOOL_OLDEST,
    SPOOL_RECORDS, STRIPE_OLDEST_PENDING, STRIPE_PENDING, STRIPE_REQUEST_DURATION, STRIPE_REQUESTS, STRIPE_THROTTLE,
    WEBHOOK_CONNECTIONS, WEBHOOK_KEY_MATCHES, WEBHOOK_LATE_DELIVERIES, WEBHOOK_REQUEST_DURATION, WEBHOOK_REQUESTS,
};

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
// Up to the 15 s that a statement may take.
const DATABASE_SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0];
const BATCH: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];

/// The type of a metric.
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram(&'static [f64]),
}

/// A metric.
pub(super) struct Metric {
    pub(super) name: &'static str,
    help: &'static str,
    pub(super) kind: Kind,
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

    pub(super) fn describe(&self) {
        match self.kind {
            Kind::Counter => metrics::describe_counter!(self.name, self.help),
            Kind::Gauge => metrics::describe_gauge!(self.name, self.help),
            Kind::Histogram(_) => metrics::describe_histogram!(self.name, self.help),
        }
    }
}

/// All metrics of all services.
pub(super) const ALL: &[Metric] = &[
    Metric::gauge(BUILD_INFO, "1, with the name and version of what runs."),
    Metric::gauge(SERVICE_READY, "1 while /readyz answers 200."),
    Metric::gauge(DEPENDENCY_UP, "1 while a dependency of /readyz works or can be done without, else 0."),
    Metric::counter(WEBHOOK_REQUESTS, "Webhook requests by outcome."),
    Metric::histogram(WEBHOOK_REQUEST_DURATION, HTTP_SECONDS, "Time from a webhook request to its answer."),
    Metric::counter(WEBHOOK_LATE_DELIVERIES, "Authentic deliveries that were taken though they were late."),
    Metric::counter(WEBHOOK_KEY_MATCHES, "Authentic deliveries by the position of the key that had signed them."),
    Metric::gauge(WEBHOOK_CONNECTIONS, "Open connections on the public address."),
    Metric::gauge(SPOOL_RECORDS, "Records that wait in the spool for Kafka."),
    Metric::gauge(SPOOL_BYTES, "Bytes that wait in the spool for Kafka."),
    Metric::gauge(SPOOL_LIMIT, "The most bytes that the spool takes."),
    Metric::gauge(SPOOL_OLDEST, "Age of the oldest record in the spool; 0 when it is empty."),
    Metric::gauge(CALENDLY_SUBSCRIPTION_ACTIVE, "1 while Calendly's webhook subscription is active, else 0."),
    Metric::gauge(
        CALENDLY_SUBSCRIPTION_FAILING,
        "How long Calendly's deliveries have been failing; 0 when they are not.",
    ),
    Metric::counter(CALENDLY_SUBSCRIPTION_CHECKS, "Looks at Calendly's webhook subscription, by outcome."),
    Metric::counter(CALENDLY_BACKFILLED_EVENTS, "Events fetched from Calendly's API, since they may not have come."),
    Metric::gauge(CALENDLY_BACKFILL_OPEN, "1 while deliveries may be missing that were not fetched yet, else 0."),
    Metric::counter(EVENTS_PROCESSED, "Records that the processor finished, by outcome; each counts once."),
    Metric::histogram(EVENT_PROCESSING_DURATION, PROCESSING_SECONDS, "Time that the processor spent on a record."),
    Metric::histogram(EVENT_END_TO_END, END_TO_END_SECONDS, "Time from the receipt of a delivery to its effect."),
    Metric::gauge(BREAKER_OPEN, "1 while events are held back because most of them fail for this cause."),
    Metric::counter(BREAKER_TRIPS, "How often events began to be held back."),
    Metric::counter(STRIPE_REQUESTS, "Requests to Stripe by outcome."),
    Metric::histogram(STRIPE_REQUEST_DURATION, STRIPE_SECONDS, "Time that a request to Stripe took."),
    Metric::histogram(STRIPE_THROTTLE, STRIPE_SECONDS, "Time that requests to Stripe waited for our own rate limit."),
    Metric::gauge(STRIPE_PENDING, "Operations at Stripe that are planned and not done, in the whole database."),
    Metric::gauge(CHANGES_PENDING, "Changes of bookings that wait to be published, in the whole database."),
    Metric::gauge(CHANGES_OLDEST_PENDING, "Age of the oldest change that is not published; 0 when there is none."),
    Metric::counter(CHANGES_PUBLISHED, "Records written to bookings.changes, by kind (state, tombstone)."),
    Metric::gauge(STRIPE_OLDEST_PENDING, "Age of the oldest operation that is not done; 0 when there is none."),
    Metric::counter(PAYMENTS, "Payments that came through our Checkout sessions."),
    Metric::counter(PAYMENTS_AMOUNT, "Payments that came through our Checkout sessions, in minor units."),
    Metric::counter(REFUNDS, "Refunds that Stripe has made, or could not make."),
    Metric::counter(REFUNDS_AMOUNT, "Refunds that Stripe has made, in minor units."),
    Metric::gauge(DATABASE_POOL_CONNECTIONS, "Connections to PostgreSQL, in use and idle."),
    Metric::gauge(DATABASE_POOL_LIMIT, "The most connections to PostgreSQL."),
    Metric::gauge(DATABASE_POOL_WAITING, "Tasks that wait for a connection to PostgreSQL."),
    Metric::histogram(
        DATABASE_TRANSACTION_DURATION,
        DATABASE_SECONDS,
        "Time that a transaction on bookings took, waits for a connection and for locks included.",
    ),
    Metric::histogram(DATABASE_TRANSACTION_REQUESTS, BATCH, "Requests that shared a transaction on bookings."),
    Metric::counter(RETRIES_SCHEDULED, "Records sent to a retry tier."),
    Metric::counter(RETRIES_RELEASED, "Records that were due and left their retry tier."),
    Metric::histogram(RETRY_RELEASE_LATENESS, LATENESS_SECONDS, "How long after its due time a record left its tier."),
    Metric::gauge(RETRY_WAITING, "Records that wait in a retry tier, of the partitions that this instance has."),
    Metric::gauge(RETRY_OVERDUE, "How long the first record of a retry tier has been due; 0 when none is."),
    Metric::counter(DEAD_LETTERS, "Records sent to the dead-letter topic."),
    Metric::gauge(DLQ_RECORDS, "Records in the dead-letter topic, replayed ones included."),
    Metric::gauge(CONSUMER_LAG, "Records of a topic that its consumer group has not finished."),
    Metric::gauge(CONSUMER_OLDEST, "Age of the oldest record of a topic that is not finished; 0 when there is none."),
    Metric::gauge(CONSUMER_HELD_RECORDS, "Records that the consumer holds in memory, running ones included."),
    Metric::gauge(CONSUMER_HELD_BYTES, "Bytes of the records that the consumer holds in memory."),
    Metric::counter(KAFKA_SEND_FAILURES, "Records that were sent and not acknowledged."),
    Metric::counter(KAFKA_CLIENT_REBUILDS, "Kafka clients that made no progress while the brokers were there."),
    Metric::gauge(KAFKA_QUEUE_MESSAGES, "Records in a Kafka client: to be sent, or read ahead."),
    Metric::gauge(KAFKA_QUEUE_BYTES, "Bytes of the records in a Kafka client: to be sent, or read ahead."),
    Metric::gauge(KAFKA_BROKER_UP, "1 while a Kafka client is connected to the broker, else 0."),
    Metric::gauge(KAFKA_ROUND_TRIP, "Time from a request to the broker to its answer, of the last seconds."),
    Metric::counter(KAFKA_BROKER_ERRORS, "Requests to the broker that failed or had no answer in time."),
    Metric::gauge(KAFKA_ASSIGNED, "Partitions that this member of its consumer group has."),
    Metric::counter(KAFKA_REBALANCES, "How often partitions were given to this member, or taken from it."),
];
