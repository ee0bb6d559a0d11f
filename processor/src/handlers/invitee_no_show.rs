//! `invitee_no_show.*`: the host says that somebody did not come, or takes it back. No money moves.

use bookings::FactKind;
use schemas::CalendlyEvent;

use super::{Meaning, calendly};
use crate::failure::ProcessError;

pub(super) fn marked(event: &CalendlyEvent) -> Result<Meaning, ProcessError> {
    calendly::fact(event, |details| FactKind::NoShow { details, marked: true })
}

pub(super) fn unmarked(event: &CalendlyEvent) -> Result<Meaning, ProcessError> {
    calendly::fact(event, |details| FactKind::NoShow { details, marked: false })
}
