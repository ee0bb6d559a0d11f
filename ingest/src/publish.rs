//! Makes verified deliveries durable. The one place that decides whether an event is safe.

use jiff::Timestamp;
use runtime::kafka::{OutgoingRecord, Producer, SendError};
use schemas::headers::{EventHeaders, Headers, RetryHeaders};
use schemas::ladder::ErrorClass;
use schemas::topics::Topics;
use schemas::{InvalidPayload, calendly, codec, stripe};
use uuid::Uuid;

use crate::signature::{Calendly, Stripe, Verified};

/// The namespace of the ids of bodies that are no event.
const QUARANTINE: Uuid = Uuid::from_u128(0x0d4f_64f2_7a55_4d51_8a0c_9f5e_2f6a_11c3);

/// What became of a delivery.
#[derive(Debug)]
pub enum Published {
    /// An event is durable.
    Event,
    /// It was unusable, and its body is durable in the DLQ.
    Quarantined,
}

/// The event is not durable.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The brokers did not take it.
    #[error(transparent)]
    Send(#[from] SendError),
    /// It could not be encoded: a bug.
    #[error("the event cannot be encoded: {0}")]
    Encode(#[from] schemas::CodecError),
}

/// Publishes verified deliveries.
#[derive(Clone)]
pub struct Publisher {
    producer: Producer,
    topics: Topics,
}

/// A delivery that is ready to be sent.
struct Outgoing<'a> {
    topic: &'a str,
    key: String,
    event_id: String,
    event_type: String,
    value: Vec<u8>,
}

impl Publisher {
    /// A publisher onto these topics.
    pub fn new(producer: Producer, topics: Topics) -> Self {
        Self { producer, topics }
    }

    /// Publishes a Calendly delivery.
    pub async fn calendly(
        &self,
        delivery: &Verified<Calendly>,
        received_at: Timestamp,
        traceparent: String,
    ) -> Result<Published, PublishError> {
        let parsed = match calendly::Delivery::parse(delivery.body()) {
            Ok(parsed) => parsed,
            Err(invalid) => {
                let topic = self.topics.calendly_events();
                return self.quarantine(delivery.body(), topic, invalid, received_at, traceparent).await;
            }
        };
        let (key, event_id) = (parsed.partition_key(), parsed.event_id().to_string());
        let event = parsed.into_event(received_at);
        let value = codec::encode_calendly(&event)?;
        let topic = self.topics.calendly_events();
        let outgoing = Outgoing { topic, key, event_id, event_type: event.event_type, value };
        self.send(outgoing, received_at, traceparent).await
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
        let (key, event_id) = (parsed.partition_key(), parsed.event_id().to_owned());
        let event = parsed.into_event(received_at);
        let value = codec::encode_stripe(&event)?;
        let outgoing = Outgoing { topic, key, event_id, event_type: event.event_type, value };
        self.send(outgoing, received_at, traceparent).await
    }

    async fn send(
        &self,
        outgoing: Outgoing<'_>,
        received_at: Timestamp,
        traceparent: String,
    ) -> Result<Published, PublishError> {
        let Outgoing { topic, key, event_id, event_type, value } = outgoing;
        let event = EventHeaders { event_id, event_type, received_at, traceparent };
        let headers = pairs(&Headers { event: Some(event), ..Headers::default() });
        self.producer.send(&OutgoingRecord { topic, key: key.as_bytes(), value: &value, headers: &headers }).await?;
        Ok(Published::Event)
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
        // The same body has the same id, so that a redelivery is seen as one.
        let event_id = Uuid::new_v5(&QUARANTINE, body).to_string();
        let retry = RetryHeaders {
            attempt: 0,
            due_at: received_at,
            first_failed_at: received_at,
            failed_at: received_at,
            error_class: ErrorClass::InvalidPayload,
            error: reason.to_string(),
            origin_topic: meant_for.to_owned(),
            // It was never in that topic.
            origin_partition: -1,
            origin_offset: -1,
        };
        let event =
            EventHeaders { event_id: event_id.clone(), event_type: "unknown".to_owned(), received_at, traceparent };
        let headers = pairs(&Headers { event: Some(event), retry: Some(retry), other: Vec::new() });
        let topic = self.topics.dlq();
        self.producer.send(&OutgoingRecord { topic, key: event_id.as_bytes(), value: body, headers: &headers }).await?;
        let class = ErrorClass::InvalidPayload.as_str();
        metrics::counter!(runtime::metrics::DEAD_LETTERS, "error_class" => class).increment(1);
        Ok(Published::Quarantined)
    }
}

fn pairs(headers: &Headers) -> Vec<(String, Vec<u8>)> {
    headers.to_pairs().into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
