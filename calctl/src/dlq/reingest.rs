//! A body that ingest could not use, taken in once more: after its parser was mended it may be an event.
//!
//! It was verified before it came into the DLQ, and it never was in an event topic. So it goes to the one that it was
//! meant for, as ingest would have sent it: the data teams have not seen it yet.

use schemas::codec::{Framing, Kind};
use schemas::headers::EventHeaders;
use schemas::{CodecError, InvalidPayload, Topics, calendly, codec, stripe};

/// Why a body cannot be taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfit {
    #[error("still no event: {0}")]
    Invalid(#[from] InvalidPayload),
    #[error("its origin-topic is none of the event topics")]
    NoTopic,
}

/// A body that is an event.
pub(crate) enum Parsed<'a> {
    Calendly(Box<calendly::Delivery<'a>>),
    Stripe(stripe::Delivery<'a>),
}

/// An event as it goes to its topic.
pub(crate) struct Ready {
    pub(crate) key: String,
    pub(crate) value: Vec<u8>,
    pub(crate) headers: EventHeaders,
}

/// Reads a body that was meant for a topic.
pub(crate) fn parse<'a>(body: &'a [u8], meant_for: &str, topics: &Topics) -> Result<Parsed<'a>, Unfit> {
    if meant_for == topics.calendly_events() {
        Ok(Parsed::Calendly(Box::new(calendly::Delivery::parse(body)?)))
    } else if meant_for == topics.stripe_events() {
        Ok(Parsed::Stripe(stripe::Delivery::parse(body)?))
    } else {
        Err(Unfit::NoTopic)
    }
}

impl Parsed<'_> {
    /// Which kind of event it is.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Calendly(_) => Kind::Calendly,
            Self::Stripe(_) => Kind::Stripe,
        }
    }

    /// The event with the headers that it had in the DLQ, but for its own id and type.
    pub(crate) fn ready(self, before: EventHeaders, framing: Framing) -> Result<Ready, CodecError> {
        let received_at = before.received_at;
        let (key, event_id, event_type, value) = match self {
            Self::Calendly(delivery) => {
                let key = delivery.partition_key();
                let event = delivery.into_event(received_at);
                let value = codec::encode_calendly_as(&event, framing)?;
                (key, event.event_id.to_string(), event.event_type, value)
            }
            Self::Stripe(delivery) => {
                let key = delivery.partition_key();
                let event = delivery.into_event(received_at);
                let value = codec::encode_stripe_as(&event, framing)?;
                (key, event.event_id, event.event_type, value)
            }
        };
        Ok(Ready { key, value, headers: EventHeaders { event_id, event_type, ..before } })
    }
}
