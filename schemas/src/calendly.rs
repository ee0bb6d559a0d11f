//! Calendly's events: what we publish, and how a delivery becomes it.

mod delivery;
mod fields;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use self::delivery::Delivery;
use crate::wire::{micros, micros_option, uuid_text};

/// One happening at Calendly. The fields are those of `avro/calendly_event.avsc`, in its order: the encoder writes
/// them as they come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CalendlyEvent {
    /// The same for every delivery of the same happening.
    #[serde(with = "uuid_text")]
    pub event_id: Uuid,
    /// Calendly's `event`, `invitee.created`.
    pub event_type: String,
    /// When it happened.
    #[serde(with = "micros")]
    pub occurred_at: Timestamp,
    /// When ingest took the delivery.
    #[serde(with = "micros")]
    pub received_at: Timestamp,
    /// Of `invitee.*` and `invitee_no_show.*`.
    pub invitee: Option<Invitee>,
    /// The meeting; deliveries of earlier years lack it.
    pub scheduled_event: Option<ScheduledEvent>,
    /// The delivery's JSON, byte for byte.
    pub payload: String,
}

/// Who booked, and how the booking stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Invitee {
    /// Identity of the booking at Calendly.
    pub uri: String,
    /// Address of the person.
    pub email: Option<String>,
    /// Full name.
    pub name: Option<String>,
    /// Given name, when the form asks for it.
    pub first_name: Option<String>,
    /// Family name, when the form asks for it.
    pub last_name: Option<String>,
    /// `active` or `canceled`.
    pub status: Option<String>,
    /// IANA name.
    pub timezone: Option<String>,
    /// The cancellation is one half of a reschedule.
    pub rescheduled: bool,
    /// URI of the invitee that this one replaces.
    pub old_invitee: Option<String>,
    /// URI of the invitee that replaces this one.
    pub new_invitee: Option<String>,
    /// URI of the scheduled event.
    pub event: Option<String>,
    /// The caller's own booking id: what follows `booking:` in `tracking.utm_content`.
    pub reference: Option<String>,
    /// What Calendly itself charged.
    pub payment: Option<Payment>,
    /// Name of who cancelled.
    pub canceled_by: Option<String>,
    /// `host` or `invitee`.
    pub canceler_type: Option<String>,
    /// Why it was cancelled.
    pub cancel_reason: Option<String>,
    /// When the invitee came to be.
    #[serde(with = "micros_option")]
    pub created_at: Option<Timestamp>,
    /// When it last changed.
    #[serde(with = "micros_option")]
    pub updated_at: Option<Timestamp>,
}

/// A payment that Calendly took.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Payment {
    /// The provider's id.
    pub external_id: Option<String>,
    /// `stripe` or `paypal`.
    pub provider: Option<String>,
    /// Major units.
    pub amount: Option<f64>,
    /// ISO 4217.
    pub currency: Option<String>,
    /// Whether the money moved.
    pub successful: Option<bool>,
}

/// The meeting that the invitee is invited to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScheduledEvent {
    /// Its identity.
    pub uri: Option<String>,
    /// Its title.
    pub name: Option<String>,
    /// `active` or `canceled`.
    pub status: Option<String>,
    /// URI of the event type, which sets the price.
    pub event_type: Option<String>,
    /// Begin.
    #[serde(with = "micros_option")]
    pub start_time: Option<Timestamp>,
    /// End.
    #[serde(with = "micros_option")]
    pub end_time: Option<Timestamp>,
    /// `physical`, `zoom`, `custom`, …
    pub location_type: Option<String>,
}
