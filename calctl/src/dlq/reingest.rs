//! A body that ingest could not use, taken in once more: after its parser was mended it may be an event.
//!
//! It was verified before it came into the DLQ, and it never was in an event topic. So it goes to the one that it was
//! meant for, as ingest would have sent it: the data teams have not seen it yet.

use jiff::Timestamp;
use schemas::codec::{Framing, Kind};
use schemas::{CodecError, EventRecord, InvalidPayload, Topics, calendly, stripe};

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

    /// The event, taken when its body was.
    pub(crate) fn record(
        self,
        received_at: Timestamp,
        traceparent: String,
        framing: Framing,
    ) -> Result<EventRecord, CodecError> {
        match self {
            Self::Calendly(delivery) => delivery.into_record(received_at, traceparent, framing),
            Self::Stripe(delivery) => delivery.into_record(received_at, traceparent, framing),
        }
    }
}
