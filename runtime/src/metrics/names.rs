//! The names, by who sets them. What each says, and its buckets, is in the catalogue.

/// What runs: always 1, by `service` and `version`.
pub const BUILD_INFO: &str = "build_info";
/// Whether `/readyz` answers 200.
pub const SERVICE_READY: &str = "service_ready";
/// Whether a `dependency` of `/readyz` works.
pub const DEPENDENCY_UP: &str = "dependency_up";

/// Requests to a webhook, by `source` and `outcome`.
pub const WEBHOOK_REQUESTS: &str = "webhook_requests_total";
/// Time from a webhook request to its answer, by `source`.
pub const WEBHOOK_REQUEST_DURATION: &str = "webhook_request_duration_seconds";
/// Deliveries that were taken though they were late, by `source`.
pub const WEBHOOK_LATE_DELIVERIES: &str = "webhook_late_deliveries_total";
/// Authentic deliveries by the `position` of the key that had signed them, by `source`.
pub const WEBHOOK_KEY_MATCHES: &str = "webhook_key_matches_total";
/// Open connections on the public address.
pub const WEBHOOK_CONNECTIONS: &str = "webhook_connections";
/// Records in the spool.
pub const SPOOL_RECORDS: &str = "spool_records";
/// Bytes in the spool.
pub const SPOOL_BYTES: &str = "spool_bytes";
/// The most bytes that the spool takes.
pub const SPOOL_LIMIT: &str = "spool_limit_bytes";
/// Age of the oldest record in the spool.
pub const SPOOL_OLDEST: &str = "spool_oldest_record_seconds";
/// Whether Calendly's subscription is active.
pub const CALENDLY_SUBSCRIPTION_ACTIVE: &str = "calendly_subscription_active";
/// How long Calendly's deliveries have been failing.
pub const CALENDLY_SUBSCRIPTION_FAILING: &str = "calendly_subscription_failing_seconds";
/// Looks at Calendly's subscription, by `outcome`.
pub const CALENDLY_SUBSCRIPTION_CHECKS: &str = "calendly_subscription_checks_total";
/// Events that were fetched from Calendly's API and published, by `event_type`.
pub const CALENDLY_BACKFILLED_EVENTS: &str = "calendly_backfilled_events_total";
/// Whether deliveries may be missing that were not fetched yet.
pub const CALENDLY_BACKFILL_OPEN: &str = "calendly_backfill_open";

/// Records that the processor finished, by `event_type` and `outcome`.
pub const EVENTS_PROCESSED: &str = "events_processed_total";
/// Time that the processor spent on a record, by `event_type`.
pub const EVENT_PROCESSING_DURATION: &str = "event_processing_duration_seconds";
/// Time from a delivery's receipt to its effect, by `event_type`.
pub const EVENT_END_TO_END: &str = "event_end_to_end_seconds";
/// Whether the processor holds events back, by `cause`.
pub const BREAKER_OPEN: &str = "breaker_open";
/// How often the processor began to hold events back, by `cause`.
pub const BREAKER_TRIPS: &str = "breaker_trips_total";
/// Requests to Stripe, by `operation` and `outcome`.
pub const STRIPE_REQUESTS: &str = "stripe_requests_total";
/// Time that a request to Stripe took, by `operation`.
pub const STRIPE_REQUEST_DURATION: &str = "stripe_request_duration_seconds";
/// Time that a request to Stripe waited for our own rate limit.
pub const STRIPE_THROTTLE: &str = "stripe_throttle_seconds";
/// Operations in the ledger that are pending.
pub const STRIPE_PENDING: &str = "stripe_operations_pending";
/// Age of the oldest of them.
pub const STRIPE_OLDEST_PENDING: &str = "stripe_operations_oldest_pending_seconds";
/// Entries of the outbox: changes of bookings that are not published.
pub const CHANGES_PENDING: &str = "booking_changes_pending";
/// Age of the oldest of them.
pub const CHANGES_OLDEST_PENDING: &str = "booking_changes_oldest_pending_seconds";
/// Records written to the topic of changes, by `kind`.
pub const CHANGES_PUBLISHED: &str = "booking_changes_published_total";
/// Payments that came through our sessions, by `currency`.
pub const PAYMENTS: &str = "payments_total";
/// The same in minor units, by `currency`.
pub const PAYMENTS_AMOUNT: &str = "payments_amount_minor_total";
/// Refunds that came to an end, by `outcome`.
pub const REFUNDS: &str = "refunds_total";
/// What went back to customers, in minor units, by `currency`.
pub const REFUNDS_AMOUNT: &str = "refunds_amount_minor_total";
/// Connections to the database, by `state`.
pub const DATABASE_POOL_CONNECTIONS: &str = "database_pool_connections";
/// The most connections to the database.
pub const DATABASE_POOL_LIMIT: &str = "database_pool_limit";
/// Who waits for a connection.
pub const DATABASE_POOL_WAITING: &str = "database_pool_waiting";
/// Time that a transaction on bookings took, by `outcome`.
pub const DATABASE_TRANSACTION_DURATION: &str = "database_transaction_duration_seconds";
/// Requests that shared a transaction.
pub const DATABASE_TRANSACTION_REQUESTS: &str = "database_transaction_requests";

/// Records sent to a retry tier, by `tier` and `error_class`.
pub const RETRIES_SCHEDULED: &str = "retries_scheduled_total";
/// Records that left a retry tier, by `tier`.
pub const RETRIES_RELEASED: &str = "retries_released_total";
/// How long after it was due a record left its tier, by `tier`.
pub const RETRY_RELEASE_LATENESS: &str = "retry_release_lateness_seconds";
/// Records that wait in a tier, by `tier`.
pub const RETRY_WAITING: &str = "retry_waiting_records";
/// How long the first record of a tier has been due, by `tier`.
pub const RETRY_OVERDUE: &str = "retry_oldest_overdue_seconds";
/// Records sent to the DLQ, by `error_class`.
pub const DEAD_LETTERS: &str = "dead_letters_total";
/// Records in the DLQ.
pub const DLQ_RECORDS: &str = "dlq_records";

/// Records not yet consumed, by `topic`.
pub const CONSUMER_LAG: &str = "consumer_lag_records";
/// Age of the oldest record that is not finished, by `topic`.
pub const CONSUMER_OLDEST: &str = "consumer_oldest_unfinished_seconds";
/// Records in a consumer's memory.
pub const CONSUMER_HELD_RECORDS: &str = "consumer_held_records";
/// Bytes of the records in a consumer's memory.
pub const CONSUMER_HELD_BYTES: &str = "consumer_held_bytes";
/// Sends that were not acknowledged, by `reason`.
pub const KAFKA_SEND_FAILURES: &str = "kafka_send_failures_total";
/// Kafka clients that made no progress and were built anew, by `client`.
pub const KAFKA_CLIENT_REBUILDS: &str = "kafka_client_rebuilds_total";
/// Records in a client's queues, by `client`.
pub const KAFKA_QUEUE_MESSAGES: &str = "kafka_client_queue_messages";
/// Bytes in a client's queues, by `client`.
pub const KAFKA_QUEUE_BYTES: &str = "kafka_client_queue_bytes";
/// Whether a client is connected to a broker, by `client` and `broker`.
pub const KAFKA_BROKER_UP: &str = "kafka_broker_up";
/// Time from a request to its answer, by `client`, `broker` and `percentile`.
pub const KAFKA_ROUND_TRIP: &str = "kafka_broker_round_trip_seconds";
/// Requests that failed or had no answer, by `client` and `broker`.
pub const KAFKA_BROKER_ERRORS: &str = "kafka_broker_errors_total";
/// Partitions that a group's member has, by `client`.
pub const KAFKA_ASSIGNED: &str = "kafka_consumer_assigned_partitions";
/// How often partitions were given or taken, by `client`.
pub const KAFKA_REBALANCES: &str = "kafka_consumer_rebalances_total";
