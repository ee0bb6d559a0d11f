//! What all of Stripe's events have in common.

use bookings::store::Subject;
use bookings::{Fact, FactKind};
use schemas::StripeEvent;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::Meaning;
use crate::failure::ProcessError;

/// The event's `data.object`.
pub(super) fn object<T: DeserializeOwned>(event: &StripeEvent) -> Result<T, ProcessError> {
    #[derive(Deserialize)]
    struct Envelope<T> {
        data: Data<T>,
    }
    #[derive(Deserialize)]
    struct Data<T> {
        object: T,
    }
    let envelope: Envelope<T> = serde_json::from_str(&event.payload)
        .map_err(|_| ProcessError::Unusable("its data.object is not what its type promises"))?;
    Ok(envelope.data.object)
}

/// The booking that the object's metadata names.
fn named(event: &StripeEvent) -> Option<Uuid> {
    #[derive(Deserialize)]
    struct Named {
        metadata: Metadata,
    }
    #[derive(Deserialize)]
    struct Metadata {
        booking_id: String,
    }
    object::<Named>(event).ok()?.metadata.booking_id.parse().ok()
}

/// A fact about the booking that the object's metadata names, or its reference. Without such a name it is not ours.
pub(super) fn fact(event: &StripeEvent, kind: FactKind) -> Meaning {
    subject(event).map_or(Meaning::Nothing, |subject| about(event, subject, kind))
}

/// A fact about a payment. Refunds made in Stripe's dashboard have no metadata: the payment is all that they name.
pub(super) fn payment_fact(event: &StripeEvent, payment_intent: String, kind: FactKind) -> Meaning {
    about(event, subject(event).unwrap_or(Subject::Payment(payment_intent)), kind)
}

fn subject(event: &StripeEvent) -> Option<Subject> {
    let referred = event.booking_id.as_deref().and_then(|id| id.parse::<Uuid>().ok());
    named(event).map(Subject::Booking).or(referred.map(Subject::Perhaps))
}

fn about(event: &StripeEvent, subject: Subject, kind: FactKind) -> Meaning {
    let fact = Fact {
        id: schemas::handled::stripe_fact_id(&event.event_id),
        event_type: event.event_type.clone(),
        occurred_at: event.occurred_at,
        kind,
    };
    Meaning::fact(subject, fact)
}
