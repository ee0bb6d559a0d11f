//! One record, from its bytes to its effect or its retry.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use bookings::store::{Request, StoreError, Subject};
use futures_util::FutureExt;
use jiff::Timestamp;
use runtime::kafka::Record;
use runtime::kafka::consumer::{Completion, Handler};
use runtime::metrics as names;
use runtime::registry::Schemas;
use schemas::Event;
use schemas::headers::Headers;
use tracing::Instrument as _;
use uuid::Uuid;

use crate::books::Books;
use crate::breaker::{Breaker, Evidence, Verdict};
use crate::execute::Executor;
use crate::failure::ProcessError;
use crate::handlers::{self, Meaning};
use crate::route::{Destination, Router};
use crate::spans::Spans;

/// The values of the `outcome` label.
pub(crate) const OUTCOMES: [&str; 5] = ["applied", "duplicate", "ignored", "retried", "dead"];

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Applied(Uuid),
    Duplicate(Uuid),
    Ignored,
}

/// What became of an event, and whether Stripe was asked on the way.
struct Processed {
    outcome: Outcome,
    asked_stripe: bool,
}

impl From<Outcome> for Processed {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, asked_stripe: false }
    }
}

/// Handles records: the consumer's [`Handler`].
pub struct Pipeline {
    schemas: Schemas,
    books: Books,
    executor: Executor,
    router: Router,
    breaker: Arc<Breaker>,
}

impl Pipeline {
    /// A pipeline on these parts.
    pub fn new(schemas: Schemas, books: Books, executor: Executor, router: Router, breaker: Arc<Breaker>) -> Self {
        Self { schemas, books, executor, router, breaker }
    }

    async fn process(&self, event: &Event, headers: &Headers) -> Result<Processed, ProcessError> {
        // A replayed dead letter has retry headers too, and is a first try.
        let is_retry = attempt(headers) > 0;
        let (subject, fact) = match handlers::interpret(event)? {
            Meaning::Fact(fact) => *fact,
            Meaning::Nothing => return Ok(Outcome::Ignored.into()),
        };
        let may_be_foreign = matches!(subject, Subject::Perhaps(_));
        let request = if headers.is_routine() { Request::backfilled } else { Request::event };
        let applied = match self.books.apply(request(subject, fact)).await {
            // Another product's: its metadata does not say that it is ours.
            Err(StoreError::UnknownBooking(_)) if may_be_foreign => return Ok(Outcome::Ignored.into()),
            applied => applied?,
        };
        let Some(booking_id) = applied.booking_id else { return Ok(Outcome::Ignored.into()) };
        let asked_stripe = applied.operation.is_some();
        let has_work = asked_stripe || applied.busy.is_some();
        self.executor.carry_out(applied.operation).await?;
        if !applied.is_new && applied.busy.is_some() {
            // An earlier try of this very event may have begun what is under way, and died. Whoever is new need not wait:
            // the event behind the operation is uncommitted, and comes back for it.
            self.executor.finish(booking_id).await?;
        }
        // A retry finds its fact recorded by the first try, and still is what brings the event to its end.
        let is_applied = applied.is_new || has_work || is_retry;
        let outcome = if is_applied { Outcome::Applied(booking_id) } else { Outcome::Duplicate(booking_id) };
        Ok(Processed { outcome, asked_stripe })
    }

    async fn decode(&self, value: &[u8]) -> Result<Event, ProcessError> {
        let ids = self.schemas.of(value).await?;
        Ok(schemas::codec::decode_with(value, &ids)?)
    }

    async fn finish(&self, record: Record, headers: Headers, spans: &Spans) -> Completion {
        let started = Instant::now();
        let attempt = attempt(&headers);
        let decoded = self.decode(&record.value).await;
        let label = decoded.as_ref().map_or("unknown", handlers::label);
        let received_at = decoded.as_ref().ok().map(received_at);
        let outcome = match self.try_once(&record, &headers, decoded).await {
            // It failed of something that stopped everything, which is no failure of its own: it waits for its next turn.
            Err((Verdict::Waits, error)) => {
                spans.fail();
                spans.end(label, "held");
                tracing::debug!(event_type = label, attempt, %error, "event failed; it waits until others succeed");
                return Completion::Again(Box::new(record));
            }
            Ok(outcome) => report(label, attempt, outcome, spans),
            Err((Verdict::Counts, error)) => {
                spans.fail();
                match self.give_up(record, headers, label, &error, spans).await {
                    Some(outcome) => outcome,
                    None => return Completion::Abandoned,
                }
            }
        };
        spans.end(label, outcome);
        metrics::counter!(names::EVENTS_PROCESSED, "event_type" => label, "outcome" => outcome).increment(1);
        metrics::histogram!(names::EVENT_PROCESSING_DURATION, "event_type" => label).record(started.elapsed());
        if let (Some(received_at), "applied") = (received_at, outcome) {
            let age = Timestamp::now().duration_since(received_at).as_secs_f64().max(0.0);
            metrics::histogram!(names::EVENT_END_TO_END, "event_type" => label).record(age);
        }
        Completion::Done
    }

    /// Tries to apply the event, and tells the breaker what came of it.
    async fn try_once(
        &self,
        record: &Record,
        headers: &Headers,
        decoded: Result<Event, ProcessError>,
    ) -> Result<Outcome, (Verdict, ProcessError)> {
        let processed = match decoded {
            Ok(event) => {
                let processed = AssertUnwindSafe(self.process(&event, headers)).catch_unwind().await;
                processed.unwrap_or(Err(ProcessError::Panicked))
            }
            Err(error) => Err(error),
        };
        let evidence = match &processed {
            Ok(Processed { asked_stripe, .. }) => Evidence::Works { asked_stripe: *asked_stripe },
            Err(error) => error.evidence(),
        };
        let name = headers.event.as_ref().map_or(record.value.as_slice(), |event| event.event_id.as_bytes());
        let verdict = self.breaker.observe(name, evidence);
        processed.map(|processed| processed.outcome).map_err(|error| (verdict, error))
    }

    /// Moves a failed record on. `None` when it could not be moved because the service is stopping.
    async fn give_up(
        &self,
        record: Record,
        headers: Headers,
        label: &str,
        error: &ProcessError,
        spans: &Spans,
    ) -> Option<&'static str> {
        let attempt = attempt(&headers);
        match self.router.route(&record, headers, error, &spans.exported).await {
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
    async fn admit(&self) {
        self.breaker.admit().await;
    }

    async fn handle(&self, record: Record) -> Completion {
        let headers = Headers::parse(record.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())));
        let spans = Spans::begin(&record, attempt(&headers));
        let finished = self.finish(record, headers, &spans).instrument(spans.logged.clone());
        finished.instrument(spans.exported.clone()).await
    }
}

/// Retries so far. A record that was never retried, or was replayed from the DLQ, has none.
fn attempt(headers: &Headers) -> u32 {
    headers.retry.as_ref().map_or(0, |retry| retry.attempt)
}

fn received_at(event: &Event) -> Timestamp {
    match event {
        Event::Calendly(event) => event.received_at,
        Event::Stripe(event) => event.received_at,
    }
}

fn report(label: &str, attempt: u32, outcome: Outcome, spans: &Spans) -> &'static str {
    let (word, booking_id) = match outcome {
        Outcome::Applied(booking_id) => ("applied", Some(booking_id)),
        Outcome::Duplicate(booking_id) => ("duplicate", Some(booking_id)),
        Outcome::Ignored => ("ignored", None),
    };
    let booking_id = booking_id.map(tracing::field::display);
    spans.exported.record("booking_id", &booking_id);
    tracing::info!(event_type = label, outcome = word, attempt, booking_id, "event finished");
    word
}
