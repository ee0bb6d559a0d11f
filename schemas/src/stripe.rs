//! Stripe's events: what we publish, and how a delivery becomes it.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    error::InvalidPayload,
    json::{self, Fields, Text, Value},
    wire::micros,
};

/// One happening at Stripe. The fields are those of `avro/stripe_event.avsc`, in its order: the encoder writes them as
/// they come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StripeEvent {
    /// Stripe's own, `evt_…`.
    pub event_id: String,
    /// Stripe's `type`, `checkout.session.completed`.
    pub event_type: String,
    /// When it happened.
    #[serde(with = "micros")]
    pub occurred_at: Timestamp,
    /// When ingest took the delivery.
    #[serde(with = "micros")]
    pub received_at: Timestamp,
    /// Id of `data.object`.
    pub object_id: Option<String>,
    /// The booking that the object belongs to: its `client_reference_id` or `metadata.booking_id`.
    pub booking_id: Option<String>,
    /// The delivery's JSON, byte for byte.
    pub payload: String,
}

/// A delivery that is an event. It borrows from the body.
pub struct Delivery<'a> {
    body: &'a str,
    event_id: Cow<'a, str>,
    event_type: Cow<'a, str>,
    created: Option<Timestamp>,
    object: Subject<'a>,
}

impl<'a> Delivery<'a> {
    /// Reads a body: a JSON object with string `id` and `type`. Whatever else is missing or of an unexpected type
    /// counts as absent.
    pub fn parse(body: &'a [u8]) -> Result<Self, InvalidPayload> {
        let body = str::from_utf8(body).map_err(|_| InvalidPayload::NotUtf8)?;
        let top: Top<'_> = json::document(body)?;
        Ok(Self {
            body,
            event_id: top.id.ok_or(InvalidPayload::not_a_string("id"))?,
            event_type: top.kind.ok_or(InvalidPayload::not_a_string("type"))?,
            created: top.created.and_then(|seconds| Timestamp::from_second(seconds).ok()),
            object: top.data.object,
        })
    }

    /// Stripe's `type`.
    pub fn event_type(&self) -> &str {
        &self.event_type
    }

    /// Stripe's `id`.
    pub fn event_id(&self) -> &str {
        &self.event_id
    }

    /// What belongs to one booking stays in one partition.
    pub fn partition_key(&self) -> String {
        let key = self.object.booking_id().or(self.object.id.as_deref().filter(|id| !id.is_empty()));
        key.unwrap_or(&self.event_id).to_owned()
    }

    /// The event to publish.
    pub fn into_event(self, received_at: Timestamp) -> StripeEvent {
        let received_at = micros::truncate(received_at);
        StripeEvent {
            booking_id: self.object.booking_id().map(str::to_owned),
            object_id: self.object.id.map(Cow::into_owned),
            event_id: self.event_id.into_owned(),
            event_type: self.event_type.into_owned(),
            occurred_at: self.created.unwrap_or(received_at),
            received_at,
            payload: self.body.to_owned(),
        }
    }
}

#[derive(Default)]
struct Top<'a> {
    id: Text<'a>,
    kind: Text<'a>,
    created: Option<i64>,
    data: Data<'a>,
}

impl<'a> Fields<'a> for Top<'a> {
    fn set<V: Value<'a>>(&mut self, name: &str, value: V) -> Result<(), V::Error> {
        match name {
            "id" => self.id = value.text()?,
            "type" => self.kind = value.text()?,
            "created" => self.created = value.scalar()?,
            "data" => self.data = value.object()?.unwrap_or_default(),
            _ => value.skip()?,
        }
        Ok(())
    }
}

#[derive(Default)]
struct Data<'a> {
    object: Subject<'a>,
}

impl<'a> Fields<'a> for Data<'a> {
    fn set<V: Value<'a>>(&mut self, name: &str, value: V) -> Result<(), V::Error> {
        match name {
            "object" => self.object = value.object()?.unwrap_or_default(),
            _ => value.skip()?,
        }
        Ok(())
    }
}

/// What the event is about: a session, a payment intent, a refund.
#[derive(Default)]
struct Subject<'a> {
    id: Text<'a>,
    client_reference_id: Text<'a>,
    metadata: Metadata<'a>,
}

impl<'a> Fields<'a> for Subject<'a> {
    fn set<V: Value<'a>>(&mut self, name: &str, value: V) -> Result<(), V::Error> {
        match name {
            "id" => self.id = value.text()?,
            "client_reference_id" => self.client_reference_id = value.text()?,
            "metadata" => self.metadata = value.object()?.unwrap_or_default(),
            _ => value.skip()?,
        }
        Ok(())
    }
}

impl Subject<'_> {
    fn booking_id(&self) -> Option<&str> {
        let candidates = [&self.client_reference_id, &self.metadata.booking_id];
        candidates.into_iter().flatten().map(AsRef::as_ref).find(|id: &&str| !id.is_empty())
    }
}

#[derive(Default)]
struct Metadata<'a> {
    booking_id: Text<'a>,
}

impl<'a> Fields<'a> for Metadata<'a> {
    fn set<V: Value<'a>>(&mut self, name: &str, value: V) -> Result<(), V::Error> {
        match name {
            "booking_id" => self.booking_id = value.text()?,
            _ => value.skip()?,
        }
        Ok(())
    }
}
