//! `invitee.rescheduled`: a reschedule in one event. Calendly itself sends a pair instead, but our contract takes both.

use bookings::FactKind;
use schemas::CalendlyEvent;

use super::{Meaning, calendly};
use crate::failure::ProcessError;

pub(super) fn handle(event: &CalendlyEvent) -> Result<Meaning, ProcessError> {
    calendly::fact(event, FactKind::Booked)
}
