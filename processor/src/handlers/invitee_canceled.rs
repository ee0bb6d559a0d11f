//! `invitee.canceled`: a cancellation, or the first half of a reschedule.

use bookings::FactKind;
use schemas::CalendlyEvent;

use super::{Meaning, calendly};
use crate::failure::ProcessError;

pub(super) fn handle(event: &CalendlyEvent) -> Result<Meaning, ProcessError> {
    let invitee = event.invitee.as_ref();
    // Either sign will do: old deliveries lack the flag.
    let rescheduled = invitee.is_some_and(|invitee| invitee.rescheduled || invitee.new_invitee.is_some());
    calendly::fact(event, if rescheduled { FactKind::Left } else { FactKind::Canceled })
}
