//! Which events the processor acts on, for those who ask whether one was dealt with.
//!
//! The processor's handlers decide; this says beforehand what they will find. A test over both
//! (`tests/tests/e2e/expectation.rs`) keeps them from saying different things.

use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use crate::codec::Event;
use crate::stripe::StripeEvent;

/// Calendly's event types that become facts. All others are for the data teams alone.
pub const CALENDLY: [&str; 5] = [
    "invitee.created",
    "invitee.canceled",
    "invitee.rescheduled",
    "invitee_no_show.created",
    "invitee_no_show.deleted",
];

/// Stripe's event types that become facts, when their object belongs to a booking.
pub const STRIPE: [&str; 9] = [
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    "checkout.session.expired",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "charge.refund.updated",
    "charge.refunded",
];

/// The namespace of the ids that the history derives from Stripe's event ids.
const STRIPE_EVENTS: Uuid = Uuid::from_u128(0x5f6b_5f0e_31c4_4c4f_9d4e_6a0f_8f1c_2b7d);

/// What an event should leave in the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// A fact.
    Fact,
    /// A fact if the booking that it refers to is one of ours, else nothing.
    Perhaps,
    /// Nothing.
    Nothing,
}

/// What an event should leave in the history.
pub fn expectation(event: &Event) -> Expectation {
    match event {
        Event::Calendly(event) if CALENDLY.contains(&event.event_type.as_str()) => Expectation::Fact,
        Event::Stripe(event) if STRIPE.contains(&event.event_type.as_str()) => of_stripe(event),
        Event::Calendly(_) | Event::Stripe(_) => Expectation::Nothing,
    }
}

/// The id of the event's fact. `event_id` is as in the `event-id` header: Calendly's are UUIDs that we made, Stripe's
/// are Stripe's.
pub fn fact_id(event_id: &str) -> Uuid {
    event_id.parse().unwrap_or_else(|_| stripe_fact_id(event_id))
}

/// The id of the fact of one of Stripe's events.
pub fn stripe_fact_id(event_id: &str) -> Uuid {
    Uuid::new_v5(&STRIPE_EVENTS, event_id.as_bytes())
}

fn of_stripe(event: &StripeEvent) -> Expectation {
    #[derive(Deserialize)]
    struct Envelope {
        data: Data,
    }
    #[derive(Deserialize)]
    struct Data {
        object: Object,
    }
    #[derive(Deserialize)]
    struct Object {
        #[serde(default)]
        payment_intent: Value,
        #[serde(default)]
        metadata: Value,
    }
    // One that cannot be read is a failure, and so in the DLQ.
    let Ok(Envelope { data: Data { object } }) = serde_json::from_str(&event.payload) else {
        return Expectation::Fact;
    };
    let about_payment = !event.event_type.starts_with("checkout.session.");
    let is_uuid = |text: &str| text.parse::<Uuid>().is_ok();
    if about_payment && object.payment_intent.is_null() {
        Expectation::Nothing
    } else if object.metadata.get("booking_id").and_then(Value::as_str).is_some_and(is_uuid) {
        Expectation::Fact
    } else if about_payment || event.booking_id.as_deref().is_some_and(is_uuid) {
        // A payment's booking is looked for even if nothing but the payment is named, as by refunds from the dashboard.
        Expectation::Perhaps
    } else {
        Expectation::Nothing
    }
}
