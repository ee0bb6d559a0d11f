//! One webhook request, from its first byte to its answer.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{HeaderMap, Request, header};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use jiff::Timestamp;
use runtime::metrics::{WEBHOOK_REQUEST_DURATION, WEBHOOK_REQUESTS};
use runtime::telemetry::continue_trace;
use tracing::Instrument;

use crate::answer::Answer;
use crate::publish::{PublishError, Published, Publisher};
use crate::signature::{Calendly, Rejection, Scheme, Stripe, Verified, Verifier};

/// Both senders give up after 15 s or less.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Taken though it was late, by `source`.
const LATE_DELIVERIES: &str = "webhook_late_deliveries_total";

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

/// What every request of a scheme needs.
pub(crate) struct Endpoint<S> {
    pub(crate) verifier: Verifier<S>,
    pub(crate) publisher: Publisher,
    pub(crate) max_body_bytes: usize,
}

impl<S: Publish> Endpoint<S> {
    pub(crate) async fn receive(&self, request: Request<Body>) -> Answer {
        let started = Instant::now();
        let span = tracing::info_span!("webhook", source = S::SOURCE);
        let incoming = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
        let traceparent = continue_trace(&span, incoming).to_string();
        let answer = self.answer(request, traceparent).instrument(span).await;
        if let Some(outcome) = answer.outcome() {
            metrics::counter!(WEBHOOK_REQUESTS, "source" => S::SOURCE, "outcome" => outcome).increment(1);
        }
        metrics::histogram!(WEBHOOK_REQUEST_DURATION, "source" => S::SOURCE).record(started.elapsed());
        answer
    }

    async fn answer(&self, request: Request<Body>, traceparent: String) -> Answer {
        let (head, body) = request.into_parts();
        let body = match self.read(&head.headers, body).await {
            Ok(body) => body,
            Err(answer) => return answer,
        };
        let received_at = Timestamp::now();
        let delivery = match self.verifier.verify(&head.headers, body, received_at) {
            Ok(delivery) => delivery,
            Err(Rejection::Invalid) => return Answer::InvalidSignature,
            Err(Rejection::Stale) => return Answer::StaleSignature,
        };
        if delivery.is_late() {
            metrics::counter!(LATE_DELIVERIES, "source" => S::SOURCE).increment(1);
        }
        match S::publish(&self.publisher, &delivery, received_at, traceparent).await {
            Ok(Published::Event) => Answer::Accepted,
            Ok(Published::Quarantined) => {
                tracing::warn!("an authentic delivery is unusable; its body is in the DLQ");
                Answer::InvalidPayload
            }
            Err(error) => {
                tracing::warn!(%error, "a delivery could not be made durable; its sender will come again");
                Answer::Unavailable
            }
        }
    }

    async fn read(&self, headers: &HeaderMap, body: Body) -> Result<Bytes, Answer> {
        let announced =
            headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        if announced.is_some_and(|length| length > self.max_body_bytes) {
            return Err(Answer::TooLarge);
        }
        // The announcement may be missing or a lie: what counts is what comes.
        let limited = Limited::new(body, self.max_body_bytes);
        match tokio::time::timeout(BODY_TIMEOUT, limited.collect()).await {
            Ok(Ok(collected)) => Ok(collected.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Answer::TooLarge),
            // The sender is gone, or too slow.
            Ok(Err(_)) | Err(_) => Err(Answer::TooSlow),
        }
    }
}
