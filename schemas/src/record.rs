//! A delivery as it goes to its topic: the same key, bytes and headers, whoever publishes it.

use std::borrow::Cow;

use jiff::Timestamp;

use crate::codec::{self, CodecError, Framing};
use crate::headers::EventHeaders;
use crate::{calendly, stripe};

/// What is published of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRecord {
    /// What has to stay in order has one key.
    pub key: String,
    /// The event, encoded.
    pub value: Vec<u8>,
    /// Its headers.
    pub headers: EventHeaders,
}

impl calendly::Delivery<'_> {
    /// The record of this delivery, taken at `received_at`.
    pub fn into_record(
        self,
        received_at: Timestamp,
        traceparent: String,
        framing: Framing,
    ) -> Result<EventRecord, CodecError> {
        let key = self.partition_key();
        let event = self.into_event_of::<Cow<'_, str>>(received_at);
        let value = codec::encode_calendly_as(&event, framing)?;
        let (event_id, event_type) = (event.event_id.to_string(), event.event_type.into_owned());
        Ok(EventRecord { key, value, headers: EventHeaders { event_id, event_type, received_at, traceparent } })
    }
}

impl stripe::Delivery<'_> {
    /// The record of this delivery, taken at `received_at`.
    pub fn into_record(
        self,
        received_at: Timestamp,
        traceparent: String,
        framing: Framing,
    ) -> Result<EventRecord, CodecError> {
        let key = self.partition_key();
        let event = self.into_event(received_at);
        let value = codec::encode_stripe_as(&event, framing)?;
        let (event_id, event_type) = (event.event_id, event.event_type);
        Ok(EventRecord { key, value, headers: EventHeaders { event_id, event_type, received_at, traceparent } })
    }
}
