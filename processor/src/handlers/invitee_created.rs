//! `invitee.created`: somebody booked, or rescheduled (then it names the invitee that it replaces).

use bookings::FactKind;
use schemas::CalendlyEvent;

use super::{Meaning, calendly};
use crate::failure::ProcessError;

pub(super) fn handle(event: &CalendlyEvent) -> Result<Meaning, ProcessError> {
    calendly::fact(event, FactKind::Booked)
}
