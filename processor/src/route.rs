//! Sends a failed record to its tier or to the DLQ, and waits until it is there. Only then may its offset be committed.

use std::time::Duration;

use jiff::Timestamp;
use runtime::kafka::{OutgoingRecord, Producer, Record, SendError, end_publish_span, publish_span};
use runtime::metrics as names;
use runtime::shutdown::Shutdown;
use runtime::telemetry;
use schemas::headers::names::FAILED_TRACEPARENT;
use schemas::headers::{Headers, Pair, RetryHeaders, ascii};
use schemas::ladder::{ErrorClass, RetryLadder, Route};
use schemas::topics::Topics;
use tracing::Span;

use crate::failure::ProcessError;

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const MAX_ERROR: usize = 1024;

/// Where a failed record went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A tier: it will be tried again.
    Tier,
    /// The DLQ.
    Dead,
    /// Nowhere: the service is stopping, and the record stays uncommitted.
    Nowhere,
}

/// Knows the tiers and how to reach them.
pub struct Router {
    producer: Producer,
    topics: Topics,
    ladder: RetryLadder,
    max_attempts: u32,
    shutdown: Shutdown,
}

impl Router {
    /// A router onto these topics.
    pub fn new(producer: Producer, topics: Topics, ladder: RetryLadder, max_attempts: u32, shutdown: Shutdown) -> Self {
        Self { producer, topics, ladder, max_attempts, shutdown }
    }

    /// Moves the record, key and value unchanged, and waits for the delivery.
    ///
    /// `span` is the try's own: the next one is linked to it.
    pub async fn route(&self, record: &Record, mut headers: Headers, error: &ProcessError, span: &Span) -> Destination {
        let failed_at = Timestamp::now();
        let failure = error.failure();
        let attempt = headers.retry.as_ref().map_or(0, |retry| retry.attempt);
        let route = self.ladder.route(&failure, attempt, self.max_attempts, failed_at);
        let (topic, attempt, due_at, class) = match &route {
            Route::Tier { index, attempt, due_at } => {
                let topic = self.topics.tiers().get(*index).map_or(self.topics.dlq(), |tier| tier.topic.as_str());
                (topic, *attempt, *due_at, failure.class)
            }
            Route::Dead { class, attempt } => (self.topics.dlq(), *attempt, failed_at, *class),
        };
        headers.retry = Some(retry_headers(record, headers.retry.take(), attempt, (due_at, failed_at), class, error));
        headers.other.retain(|(name, _)| name != FAILED_TRACEPARENT);
        if let Some(identity) = telemetry::identity(span) {
            headers.other.push((FAILED_TRACEPARENT.to_owned(), identity.to_string().into_bytes()));
        }
        if !self.deliver(topic, record, &headers.to_pairs()).await {
            return Destination::Nowhere;
        }
        bookings::failpoint::hit("moved");
        self.count(&route, class)
    }

    fn count(&self, route: &Route, class: ErrorClass) -> Destination {
        match route {
            Route::Tier { index, .. } => {
                let tier = self.topics.tiers().get(*index).map_or_else(String::new, |tier| tier.label.clone());
                metrics::counter!(names::RETRIES_SCHEDULED, "tier" => tier, "error_class" => class.as_str())
                    .increment(1);
                Destination::Tier
            }
            Route::Dead { .. } => {
                metrics::counter!(names::DEAD_LETTERS, "error_class" => class.as_str()).increment(1);
                Destination::Dead
            }
        }
    }

    /// Tries until the brokers have it: giving up would mean to lose the record or to block its partition for good.
    async fn deliver(&self, topic: &str, record: &Record, headers: &[Pair<'_>]) -> bool {
        let outgoing = OutgoingRecord { topic, key: record.key.as_deref(), value: &record.value, headers };
        let span = publish_span(topic);
        let mut pause = FIRST_PAUSE;
        loop {
            let error: SendError = match self.producer.send(&outgoing).await {
                Ok(delivered) => {
                    end_publish_span(&span, Ok(&delivered));
                    return true;
                }
                Err(error) => error,
            };
            if pause == FIRST_PAUSE {
                tracing::warn!(%error, topic, "a failed record cannot be moved; trying on");
            }
            tokio::select! {
                () = self.shutdown.cancelled() => {
                    end_publish_span(&span, Err(&error));
                    return false;
                }
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

fn retry_headers(
    record: &Record,
    before: Option<RetryHeaders>,
    attempt: u32,
    (due_at, failed_at): (Timestamp, Timestamp),
    error_class: ErrorClass,
    error: &ProcessError,
) -> RetryHeaders {
    let error = ascii(&error.to_string(), MAX_ERROR).into_owned();
    match before {
        // Where it came from and when it first failed stay what they were.
        Some(before) => RetryHeaders { attempt, due_at, failed_at, error_class, error, ..before },
        None => RetryHeaders {
            attempt,
            due_at,
            first_failed_at: failed_at,
            failed_at,
            error_class,
            error,
            origin_topic: record.topic.clone(),
            origin_partition: record.partition,
            origin_offset: record.offset,
        },
    }
}
