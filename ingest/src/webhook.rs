//! One webhook request, from its first byte to its answer.

use std::time::Instant;

use axum::body::Body;
use axum::http::{HeaderMap, Request, header};
use jiff::Timestamp;
use metrics::{Counter, Histogram};
use runtime::metrics::{WEBHOOK_LATE_DELIVERIES, WEBHOOK_REQUEST_DURATION, WEBHOOK_REQUESTS};
use runtime::telemetry::{SPANS, continue_trace};
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use crate::answer::Answer;
use crate::body::{self, Unread};
use crate::memory::Memory;
use crate::publish::{Place, PublishError, Published, Publisher};
use crate::signature::{Calendly, Rejection, Scheme, Stripe, Verified, Verifier};

/// How a scheme's verified deliveries are published.
pub(crate) trait Publish: Scheme + Sized {
    fn publish(
        publisher: &Publisher,
        delivery: &Verified<Self>,
        received_at: Timestamp,
        traceparent: String,
    ) -> impl Future<Output = Result<Published, PublishError>> + Send;
}

impl Publish for Calendly {
    async fn publish(
        publisher: &Publisher,
        delivery: &Verified<Self>,
        received_at: Timestamp,
        traceparent: String,
    ) -> Result<Published, PublishError> {
        publisher.calendly(delivery, received_at, traceparent).await
    }
}

impl Publish for Stripe {
    async fn publish(
        publisher: &Publisher,
        delivery: &Verified<Self>,
        received_at: Timestamp,
        traceparent: String,
    ) -> Result<Published, PublishError> {
        publisher.stripe(delivery, received_at, traceparent).await
    }
}

/// One webhook: what every request of a scheme needs.
pub(crate) struct Endpoint<S> {
    verifier: Verifier<S>,
    publisher: Publisher,
    max_body_bytes: usize,
    memory: Memory,
    // Looked up once, not for every request; and each is there, at zero, before anything has happened.
    outcomes: Vec<(&'static str, Counter)>,
    duration: Histogram,
    late: Counter,
}

impl<S: Publish> Endpoint<S> {
    pub(crate) fn new(verifier: Verifier<S>, publisher: Publisher, max_body_bytes: usize, memory: Memory) -> Self {
        let counter =
            |outcome| (outcome, metrics::counter!(WEBHOOK_REQUESTS, "source" => S::SOURCE, "outcome" => outcome));
        Self {
            verifier,
            publisher,
            max_body_bytes,
            memory,
            outcomes: Answer::OUTCOMES.map(counter).to_vec(),
            duration: metrics::histogram!(WEBHOOK_REQUEST_DURATION, "source" => S::SOURCE),
            late: metrics::counter!(WEBHOOK_LATE_DELIVERIES, "source" => S::SOURCE),
        }
    }

    pub(crate) async fn receive(&self, request: Request<Body>) -> Answer {
        let started = Instant::now();
        let span = span_of(S::SOURCE);
        let incoming = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
        let traceparent = continue_trace(&span, incoming).to_string();
        let answer = self.answer(request, traceparent).instrument(span.clone()).await;
        end_span(&span, answer);
        if let Some((_, counter)) = self.outcomes.iter().find(|(outcome, _)| answer.outcome() == Some(outcome)) {
            counter.increment(1);
        }
        self.duration.record(started.elapsed());
        answer
    }

    async fn answer(&self, request: Request<Body>, traceparent: String) -> Answer {
        let (head, body) = request.into_parts();
        // Held until the record is durable.
        let mut memory = self.memory.hold();
        let waits = waits_for_consent(&head.headers);
        let body = match body::read(body, self.max_body_bytes, waits, &mut memory).await {
            Ok(body) => body,
            Err(Unread::NoRoom) => return Answer::NoRoom,
            Err(Unread::TooLarge) => return Answer::TooLarge,
            Err(Unread::Incomplete) => return Answer::TooSlow,
        };
        let received_at = Timestamp::now();
        if let Some(judged) = self.verifier.probe(&head.headers, &body, received_at) {
            return judged.map_or_else(refused::<S>, |()| Answer::Probed);
        }
        match self.verifier.verify(&head.headers, body, received_at) {
            Ok(delivery) => self.publish(delivery, received_at, traceparent).await,
            Err(rejection) => refused::<S>(rejection),
        }
    }

    async fn publish(&self, delivery: Verified<S>, received_at: Timestamp, traceparent: String) -> Answer {
        if delivery.is_late() {
            self.late.increment(1);
        }
        match S::publish(&self.publisher, &delivery, received_at, traceparent).await {
            Ok(Published::Event(Place::Kafka)) => Answer::Accepted,
            Ok(Published::Event(Place::Spool)) => Answer::Spooled,
            Ok(Published::Quarantined) => Answer::InvalidPayload,
            Err(PublishError::Nowhere(_)) => Answer::Unavailable,
            Err(PublishError::Encode(error)) => {
                tracing::error!(%error, "a delivery cannot be encoded: a bug");
                Answer::Unavailable
            }
        }
    }
}

fn refused<S: Scheme>(rejection: Rejection) -> Answer {
    match rejection {
        Rejection::Invalid => Answer::InvalidSignature,
        Rejection::Stale => {
            // Counted apart; not worth a line at the usual level, for who has caught a delivery can replay it.
            tracing::debug!(source = S::SOURCE, "an authentic delivery is outside the tolerance");
            Answer::StaleSignature
        }
    }
}

/// The root of everything that is done because of a delivery, unless the sender began the trace.
fn span_of(source: &'static str) -> Span {
    tracing::info_span!(
        target: SPANS, "webhook", otel.kind = "server", http.request.method = "POST", source, event_id = Empty,
        event_type = Empty, outcome = Empty, http.response.status_code = Empty, otel.status_code = Empty,
    )
}

fn end_span(span: &Span, answer: Answer) {
    let status = answer.status();
    span.record("outcome", answer.outcome());
    span.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
}

/// The sender holds its body back until we ask for it.
fn waits_for_consent(headers: &HeaderMap) -> bool {
    headers.get(header::EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}
