//! The contract between the pipeline and everybody who reads its topics: Avro events and their encoding, topic names,
//! record headers, event identity and the retry ladder.
//!
//! Everything here is pure. No I/O, no clock, no async: what a function needs to know it is told.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail loudly"))]

pub mod booking;
pub mod calendly;
pub mod codec;
pub mod duration;
pub mod error;
pub mod handled;
pub mod headers;
mod identity;
mod json;
pub mod ladder;
mod record;
pub mod replay;
pub mod stripe;
pub mod topics;
pub mod trace;
mod wire;

pub use booking::BookingState;
pub use calendly::{CalendlyEvent, Invitee, Payment, ScheduledEvent};
pub use codec::{CodecError, Event, Framing, SchemaIds, WriterSchema};
pub use duration::{DurationError, parse_duration};
pub use error::InvalidPayload;
pub use headers::{EventHeaders, Headers, RetryHeaders, ascii};
pub use ladder::{ErrorClass, Failure, RetryLadder, Route};
pub use record::EventRecord;
pub use stripe::StripeEvent;
pub use topics::{Cleanup, Tier, TopicSpec, Topics};
pub use trace::TraceParent;
