//! What all of Calendly's invitee events have in common.

use bookings::store::Subject;
use bookings::{Details, Fact, FactKind};
use schemas::CalendlyEvent;

use super::Meaning;
use crate::failure::ProcessError;

/// Longest URI, e-mail address and reference, in bytes: an index takes no more than 2.7 kB, and what is longer is none.
const MAX_NAME: usize = 2000;
/// Longest name of a person or an event, in characters; the rest is cut.
const MAX_TEXT: usize = 2000;

/// A fact about the booking of the event's invitee.
pub(super) fn fact(event: &CalendlyEvent, kind: impl FnOnce(Details) -> FactKind) -> Result<Meaning, ProcessError> {
    let details = details(event)?;
    let subject = Subject::Invitee(Box::new(details.clone()));
    let fact = Fact {
        id: event.event_id,
        event_type: event.event_type.clone(),
        occurred_at: event.occurred_at,
        kind: kind(details),
    };
    Ok(Meaning::fact(subject, fact))
}

fn details(event: &CalendlyEvent) -> Result<Details, ProcessError> {
    let invitee = event.invitee.as_ref().ok_or(ProcessError::Unusable("it names no invitee"))?;
    if invitee.uri.is_empty() {
        return Err(ProcessError::Unusable("the invitee's URI is empty"));
    }
    if invitee.uri.len() > MAX_NAME {
        return Err(ProcessError::Unusable("the invitee's URI is too long to be one"));
    }
    let scheduled = event.scheduled_event.as_ref();
    let paid = invitee.payment.as_ref().is_some_and(|payment| payment.successful == Some(true));
    Ok(Details {
        invitee_uri: storable(&invitee.uri),
        old_invitee: name(invitee.old_invitee.as_deref()),
        new_invitee: name(invitee.new_invitee.as_deref()),
        event_uri: name(invitee.event.as_deref().or(scheduled.and_then(|s| s.uri.as_deref()))),
        event_type_uri: name(scheduled.and_then(|s| s.event_type.as_deref())),
        event_name: text(scheduled.and_then(|s| s.name.as_deref())),
        email: name(invitee.email.as_deref()),
        name: text(invitee.name.as_deref()),
        start_time: scheduled.and_then(|s| s.start_time),
        end_time: scheduled.and_then(|s| s.end_time),
        reference: name(invitee.reference.as_deref()),
        paid_at_calendly: paid,
    })
}

/// What is too long is left out: cut, it would name something else.
fn name(value: Option<&str>) -> Option<String> {
    value.filter(|value| !value.is_empty() && value.len() <= MAX_NAME).map(storable)
}

fn text(value: Option<&str>) -> Option<String> {
    value.filter(|value| !value.is_empty()).map(|value| storable(value).chars().take(MAX_TEXT).collect())
}

/// JSON may hold NUL, the database may not.
fn storable(value: &str) -> String {
    value.replace('\0', "\u{FFFD}")
}
