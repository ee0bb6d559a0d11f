//! The schema registry: ids for the schemas that we write with, schemas for the ids that we read.
//!
//! It speaks Confluent's API, which Apicurio and others serve too. Nothing that goes on waits for it: a writer asks at
//! start and keeps the ids, a reader asks once for each id that it has not seen.

mod client;
mod config;
mod framings;
mod keep;
mod schemas;

use ::schemas::codec::{BOOKING_SCHEMA, CALENDLY_SCHEMA, Kind, STRIPE_SCHEMA};
use ::schemas::topics::Topics;

pub use self::client::{Registry, RegistryError};
pub use self::config::RegistryConfig;
pub use self::framings::Framings;
pub use self::keep::{Answers, keep_read, keep_written};
pub use self::schemas::Schemas;

/// The schema of a topic's values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// What the registry calls it: `<topic>-value`.
    pub name: String,
    /// What they are.
    pub kind: Kind,
    /// Today's schema, JSON.
    pub schema: &'static str,
}

/// The subjects of the topics of events. What is in the tiers and the DLQ came from these, byte for byte.
pub fn subjects(topics: &Topics) -> [Subject; 2] {
    [
        subject(topics.calendly_events(), Kind::Calendly, CALENDLY_SCHEMA),
        subject(topics.stripe_events(), Kind::Stripe, STRIPE_SCHEMA),
    ]
}

/// The subject of the topic of bookings' states.
pub fn booking_subject(topics: &Topics) -> Subject {
    subject(topics.booking_changes(), Kind::Booking, BOOKING_SCHEMA)
}

fn subject(topic: &str, kind: Kind, schema: &'static str) -> Subject {
    Subject { name: format!("{topic}-value"), kind, schema }
}
