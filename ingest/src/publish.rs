//! Makes records of verified deliveries, and those durable.

mod durable;
mod link;
mod quarantine;

use ::calendly::Missed;
use jiff::Timestamp;
use runtime::registry::Framings;
use schemas::codec::Kind;
use schemas::headers::Headers;
use schemas::ladder::ErrorClass;
use schemas::topics::Topics;
use schemas::{EventRecord, InvalidPayload, calendly, stripe};
use tracing::Span;

pub(crate) use self::durable::Durable;
pub use self::durable::{Nowhere, Place};
pub(crate) use self::link::Link;
use crate::signature::{Calendly, Stripe, Verified};
use crate::spool::Entry;

/// What became of a delivery.
#[derive(Debug)]
pub enum Published {
    /// An event is durable.
    Event(Place),
    /// It was unusable, and its body is durable in the DLQ, or on its way there.
    Quarantined,
}

/// The event is not durable.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Neither the brokers nor the spool took it.
    #[error(transparent)]
    Nowhere(#[from] Nowhere),
    /// It could not be encoded: a bug.
    #[error("the event cannot be encoded: {0}")]
    Encode(#[from] schemas::CodecError),
}

/// Publishes verified deliveries.
#[derive(Clone)]
pub struct Publisher {
    durable: Durable,
    framings: Framings,
    topics: Topics,
}

impl Publisher {
    /// A publisher onto these topics.
    pub(crate) fn new(durable: Durable, topics: Topics) -> Self {
        // A counter that is not there yet cannot be seen to rise for the first time.
        dead_letters().increment(0);
        Self { framings: durable.framings.clone(), durable, topics }
    }

    /// Publishes a Calendly delivery.
    pub async fn calendly(
        &self,
        delivery: &Verified<Calendly>,
        received_at: Timestamp,
        traceparent: String,
    ) -> Result<Published, PublishError> {
        self.calendly_body(delivery.body(), Headers::default(), received_at, traceparent).await
    }

    /// Publishes what Calendly's API told instead of a delivery that did not come: Calendly is asked over TLS with our
    /// token, so it is as authentic as one.
    pub(crate) async fn missed(
        &self,
        missed: &Missed,
        received_at: Timestamp,
        traceparent: String,
    ) -> Result<Published, PublishError> {
        self.calendly_body(missed.body().as_bytes(), Headers::backfilled(), received_at, traceparent).await
    }

    async fn calendly_body(
        &self,
        body: &[u8],
        marks: Headers,
        received_at: Timestamp,
        traceparent: String,
    ) -> Result<Published, PublishError> {
        let topic = self.topics.calendly_events();
        let parsed = match calendly::Delivery::parse(body) {
            Ok(parsed) => parsed,
            Err(invalid) => return self.quarantine(body, topic, invalid, received_at, traceparent).await,
        };
        let record = parsed.into_record(received_at, traceparent, self.framings.get(Kind::Calendly))?;
        self.send(topic, record, marks).await
    }

    /// Publishes a Stripe delivery.
    pub async fn stripe(
        &self,
        delivery: &Verified<Stripe>,
        received_at: Timestamp,
        traceparent: String,
    ) -> Result<Published, PublishError> {
        let topic = self.topics.stripe_events();
        let parsed = match stripe::Delivery::parse(delivery.body()) {
            Ok(parsed) => parsed,
            Err(invalid) => return self.quarantine(delivery.body(), topic, invalid, received_at, traceparent).await,
        };
        let record = parsed.into_record(received_at, traceparent, self.framings.get(Kind::Stripe))?;
        self.send(topic, record, Headers::default()).await
    }

    async fn send(&self, topic: &str, record: EventRecord, marks: Headers) -> Result<Published, PublishError> {
        let EventRecord { key, value, headers } = record;
        Span::current().record("event_id", &headers.event_id).record("event_type", &headers.event_type);
        let place = self.store(topic, &key, &value, &Headers { event: Some(headers), ..marks }).await?;
        Ok(Published::Event(place))
    }

    /// Keeps an authentic but unusable body, raw, where an operator finds it.
    async fn quarantine(
        &self,
        body: &[u8],
        meant_for: &str,
        reason: InvalidPayload,
        received_at: Timestamp,
        traceparent: String,
    ) -> Result<Published, PublishError> {
        let event = quarantine::event_headers(body, received_at, traceparent);
        let retry = quarantine::retry_headers(reason, meant_for, received_at);
        let key = event.event_id.clone();
        let headers = Headers { event: Some(event), retry: Some(retry), other: Vec::new() };
        self.store(self.topics.dlq(), &key, body, &headers).await?;
        dead_letters().increment(1);
        tracing::warn!(event_id = key, %reason, "an authentic delivery is unusable; its body goes to the DLQ");
        Ok(Published::Quarantined)
    }

    async fn store(&self, topic: &str, key: &str, value: &[u8], headers: &Headers) -> Result<Place, Nowhere> {
        let (key, headers) = (key.as_bytes(), headers.to_pairs());
        self.durable.store(&Entry { topic, key, value: value.into(), headers }).await
    }
}

fn dead_letters() -> metrics::Counter {
    metrics::counter!(runtime::metrics::DEAD_LETTERS, "error_class" => ErrorClass::InvalidPayload.as_str())
}
