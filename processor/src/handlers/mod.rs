//! One file per kind of event: each turns an event into a fact about a booking. Pure: nothing is read or written here.

mod calendly;
mod charge_refunded;
mod checkout_session;
mod invitee_canceled;
mod invitee_created;
mod invitee_no_show;
mod invitee_rescheduled;
mod refund;
mod stripe;

pub(crate) use checkout_session::paid_fact;

use bookings::Fact;
use bookings::store::Subject;
use schemas::{CalendlyEvent, Event, StripeEvent};

use crate::failure::ProcessError;

/// What an event means to us.
#[derive(Debug)]
pub enum Meaning {
    /// Something happened to a booking.
    Fact(Box<(Subject, Fact)>),
    /// Nothing that we keep.
    Nothing,
}

impl Meaning {
    fn fact(subject: Subject, fact: Fact) -> Self {
        Self::Fact(Box::new((subject, fact)))
    }
}

type CalendlyHandler = fn(&CalendlyEvent) -> Result<Meaning, ProcessError>;
type StripeHandler = fn(&StripeEvent) -> Result<Meaning, ProcessError>;

/// Every Calendly event that we act on. All others are ignored, and counted.
const CALENDLY: &[(&str, CalendlyHandler)] = &[
    ("invitee.created", invitee_created::handle),
    ("invitee.canceled", invitee_canceled::handle),
    ("invitee.rescheduled", invitee_rescheduled::handle),
    ("invitee_no_show.created", invitee_no_show::marked),
    ("invitee_no_show.deleted", invitee_no_show::unmarked),
];

/// Every Stripe event that we act on.
const STRIPE: &[(&str, StripeHandler)] = &[
    ("checkout.session.completed", checkout_session::completed),
    ("checkout.session.async_payment_succeeded", checkout_session::async_payment_succeeded),
    ("checkout.session.async_payment_failed", checkout_session::async_payment_failed),
    ("checkout.session.expired", checkout_session::expired),
    ("refund.created", refund::changed),
    ("refund.updated", refund::changed),
    ("refund.failed", refund::changed),
    ("charge.refund.updated", refund::changed),
    ("charge.refunded", charge_refunded::handle),
];

/// Finds the event's handler and asks it.
pub fn interpret(event: &Event) -> Result<Meaning, ProcessError> {
    match event {
        Event::Calendly(event) => {
            find(CALENDLY, &event.event_type).map_or(Ok(Meaning::Nothing), |handle| handle(event))
        }
        Event::Stripe(event) => find(STRIPE, &event.event_type).map_or(Ok(Meaning::Nothing), |handle| handle(event)),
    }
}

/// The event type as a metric label: the name of a handled type, else `other`. Anything else would let a sender of
/// events make up labels without end.
pub fn label(event: &Event) -> &'static str {
    let name = match event {
        Event::Calendly(event) => CALENDLY.iter().map(|(name, _)| *name).find(|name| *name == event.event_type),
        Event::Stripe(event) => STRIPE.iter().map(|(name, _)| *name).find(|name| *name == event.event_type),
    };
    name.unwrap_or("other")
}

/// Every value that [`label`] has, and `unknown` for what cannot be decoded.
pub fn labels() -> impl Iterator<Item = &'static str> {
    let known = CALENDLY.iter().map(|(name, _)| *name).chain(STRIPE.iter().map(|(name, _)| *name));
    known.chain(["other", "unknown"])
}

fn find<H: Copy>(registry: &[(&str, H)], event_type: &str) -> Option<H> {
    registry.iter().find(|(name, _)| *name == event_type).map(|(_, handle)| *handle)
}
