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
///
/// `S` is how it holds its texts: one that is encoded and forgotten borrows them from the delivery.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CalendlyEvent<S = String> {
    /// The same for every delivery of the same happening.
    #[serde(with = "uuid_text")]
    pub event_id: Uuid,
    /// Calendly's `event`, `invitee.created`.
    pub event_type: S,
    /// When it happened.
    #[serde(with = "micros")]
    pub occurred_at: Timestamp,
    /// When ingest took the delivery.
    #[serde(with = "micros")]
    pub received_at: Timestamp,
    /// Of `invitee.*` and `invitee_no_show.*`.
    pub invitee: Option<Invitee<S>>,
    /// The meeting; deliveries of earlier years lack it.
    pub scheduled_event: Option<ScheduledEvent<S>>,
    /// The delivery's JSON, byte for byte.
    pub payload: S,
}

/// Who booked, and how the booking stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Invitee<S = String> {
    /// Identity of the booking at Calendly.
    pub uri: S,
    /// Address of the person.
    pub email: Option<S>,
    /// Full name.
    pub name: Option<S>,
    /// Given name, when the form asks for it.
    pub first_name: Option<S>,
    /// Family name, when the form asks for it.
    pub last_name: Option<S>,
    /// `active` or `canceled`.
    pub status: Option<S>,
    /// IANA name.
    pub timezone: Option<S>,
    /// The cancellation is one half of a reschedule.
    pub rescheduled: bool,
    /// URI of the invitee that this one replaces.
    pub old_invitee: Option<S>,
    /// URI of the invitee that replaces this one.
    pub new_invitee: Option<S>,
    /// URI of the scheduled event.
    pub event: Option<S>,
    /// The caller's own booking id: what follows `booking:` in `tracking.utm_content`.
    pub reference: Option<S>,
    /// What Calendly itself charged.
    pub payment: Option<Payment<S>>,
    /// Name of who cancelled.
    pub canceled_by: Option<S>,
    /// `host` or `invitee`.
    pub canceler_type: Option<S>,
    /// Why it was cancelled.
    pub cancel_reason: Option<S>,
    /// When the invitee came to be.
    #[serde(with = "micros_option")]
    pub created_at: Option<Timestamp>,
    /// When it last changed.
    #[serde(with = "micros_option")]
    pub updated_at: Option<Timestamp>,
}

/// A payment that Calendly took.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Payment<S = String> {
    /// The provider's id.
    pub external_id: Option<S>,
    /// `stripe` or `paypal`.
    pub provider: Option<S>,
    /// Major units.
    pub amount: Option<f64>,
    /// ISO 4217.
    pub currency: Option<S>,
    /// Whether the money moved.
    pub successful: Option<bool>,
}

/// The meeting that the invitee is invited to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScheduledEvent<S = String> {
    /// Its identity.
    pub uri: Option<S>,
    /// Its title.
    pub name: Option<S>,
    /// `active` or `canceled`.
    pub status: Option<S>,
    /// URI of the event type, which sets the price.
    pub event_type: Option<S>,
    /// Begin.
    #[serde(with = "micros_option")]
    pub start_time: Option<Timestamp>,
    /// End.
    #[serde(with = "micros_option")]
    pub end_time: Option<Timestamp>,
    /// `physical`, `zoom`, `custom`, …
    pub location_type: Option<S>,
}
