//! One record, from its bytes to its effect or its retry.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use bookings::store::{Store, StoreError, Subject};
use futures_util::FutureExt;
use jiff::Timestamp;
use runtime::kafka::Record;
use runtime::kafka::consumer::{Completion, Handler};
use runtime::metrics as names;
use schemas::Event;
use schemas::headers::Headers;
use tracing::Instrument;
use uuid::Uuid;

use crate::execute::Executor;
use crate::failure::ProcessError;
use crate::handlers::{self, Meaning};
use crate::route::{Destination, Router};

/// The values of the `outcome` label.
pub(crate) const OUTCOMES: [&str; 5] = ["applied", "duplicate", "ignored", "retried", "dead"];

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Applied(Uuid),
    Duplicate(Uuid),
    Ignored,
}

/// Handles records: the consumer's [`Handler`].
pub struct Pipeline {
    store: Store,
    executor: Executor,
    router: Router,
}

impl Pipeline {
    /// A pipeline on these parts.
    pub fn new(store: Store, executor: Executor, router: Router) -> Self {
        Self { store, executor, router }
    }

    async fn process(&self, event: &Event, is_retry: bool) -> Result<Outcome, ProcessError> {
        let (subject, fact) = match handlers::interpret(event)? {
            Meaning::Fact(fact) => *fact,
            Meaning::Nothing => return Ok(Outcome::Ignored),
        };
        let recorded = match (self.store.record(&subject, &fact).await, &subject) {
            // Another product's: its metadata does not say that it is ours.
            (Err(StoreError::UnknownBooking(_)), Subject::Perhaps(_)) => return Ok(Outcome::Ignored),
            (recorded, _) => recorded?,
        };
        if recorded.has_work {
            self.executor.run(recorded.booking_id).await?;
        }
        // A retry finds its fact recorded by the first try, and still is what brings the event to its end.
        let applied = recorded.is_new || recorded.has_work || is_retry;
        Ok(if applied { Outcome::Applied(recorded.booking_id) } else { Outcome::Duplicate(recorded.booking_id) })
    }

    async fn finish(&self, record: Record) -> Completion {
        let started = Instant::now();
        let headers = Headers::parse(record.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())));
        // A replayed dead letter has retry headers too, and is a first try.
        let is_retry = headers.retry.as_ref().is_some_and(|retry| retry.attempt > 0);
        let decoded = schemas::codec::decode(&record.value).map_err(ProcessError::from);
        let label = decoded.as_ref().map_or("unknown", handlers::label);
        let received_at = decoded.as_ref().ok().map(received_at);
        let result = match &decoded {
            Ok(event) => {
                let processed = AssertUnwindSafe(self.process(event, is_retry)).catch_unwind().await;
                processed.unwrap_or(Err(ProcessError::Panicked))
            }
            Err(_) => Err(decoded.err().unwrap_or(ProcessError::Panicked)),
        };
        let outcome = match result {
            Ok(outcome) => report(label, outcome),
            Err(error) => match self.give_up(record, headers, label, &error).await {
                Some(outcome) => outcome,
                None => return Completion::Abandoned,
            },
        };
        metrics::counter!(names::EVENTS_PROCESSED, "event_type" => label, "outcome" => outcome).increment(1);
        metrics::histogram!(names::EVENT_PROCESSING_DURATION, "event_type" => label).record(started.elapsed());
        if let (Some(received_at), "applied") = (received_at, outcome) {
            let age = Timestamp::now().duration_since(received_at).as_secs_f64().max(0.0);
            metrics::histogram!(names::EVENT_END_TO_END, "event_type" => label).record(age);
        }
        Completion::Done
    }

    /// Moves a failed record on. `None` when it could not be moved because the service is stopping.
    async fn give_up(
        &self,
        record: Record,
        headers: Headers,
        label: &str,
        error: &ProcessError,
    ) -> Option<&'static str> {
        let attempt = headers.retry.as_ref().map_or(0, |retry| retry.attempt);
        match self.router.route(&record, headers, error).await {
            Destination::Tier => {
                tracing::warn!(event_type = label, outcome = "retried", attempt, %error, "event failed");
                Some("retried")
            }
            Destination::Dead => {
                tracing::error!(event_type = label, outcome = "dead", attempt, %error, "event is in the DLQ");
                Some("dead")
            }
            Destination::Nowhere => None,
        }
    }
}

impl Handler for Pipeline {
    async fn handle(&self, record: Record) -> Completion {
        let header = |wanted: &str| {
            let found = record.headers.iter().rev().find(|(name, _)| name == wanted);
            found.and_then(|(_, value)| std::str::from_utf8(value).ok()).unwrap_or_default().to_owned()
        };
        let span = tracing::info_span!("event", event_id = %header(schemas::headers::names::EVENT_ID), trace_id = tracing::field::Empty);
        let trace = runtime::telemetry::continue_trace(&span, Some(&header(schemas::headers::names::TRACEPARENT)));
        span.record("trace_id", format!("{:032x}", trace.trace_id));
        self.finish(record).instrument(span).await
    }
}

fn received_at(event: &Event) -> Timestamp {
    match event {
        Event::Calendly(event) => event.received_at,
        Event::Stripe(event) => event.received_at,
    }
}

fn report(label: &str, outcome: Outcome) -> &'static str {
    let (word, booking_id) = match outcome {
        Outcome::Applied(booking_id) => ("applied", Some(booking_id)),
        Outcome::Duplicate(booking_id) => ("duplicate", Some(booking_id)),
        Outcome::Ignored => ("ignored", None),
    };
    let booking_id = booking_id.map(tracing::field::display);
    tracing::info!(event_type = label, outcome = word, booking_id, "event finished");
    word
}
