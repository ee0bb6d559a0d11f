//! What the log and the metrics say of a look.

use std::mem::{Discriminant, discriminant};
use std::time::Duration;

use calendly::{CalendlyError, Ensured, Gap, Leftover, Missed, Outcome, State, Subscription};
use jiff::Timestamp;
use runtime::metrics::{
    CALENDLY_BACKFILL_OPEN, CALENDLY_BACKFILLED_EVENTS, CALENDLY_SUBSCRIPTION_ACTIVE, CALENDLY_SUBSCRIPTION_CHECKS,
    CALENDLY_SUBSCRIPTION_FAILING,
};

use super::fill::{FillError, Filled};

/// What the log has said already.
pub(super) struct Told {
    failure: Option<Discriminant<CalendlyError>>,
    failing: bool,
    blocked: bool,
    /// The gap that is being filled, or was tried to.
    open: Option<Gap>,
    unfilled: bool,
}

impl Told {
    /// Nothing was said yet, and every counter is there.
    pub(super) fn new() -> Self {
        for event_type in Missed::EVENT_TYPES {
            metrics::counter!(CALENDLY_BACKFILLED_EVENTS, "event_type" => event_type).increment(0);
        }
        metrics::gauge!(CALENDLY_BACKFILL_OPEN).set(0.0);
        Self { failure: None, failing: false, blocked: false, open: None, unfilled: false }
    }

    /// A gap is about to be filled.
    pub(super) fn tell_open(&mut self, gap: &Gap) {
        metrics::gauge!(CALENDLY_BACKFILL_OPEN).set(1.0);
        if self.open.replace(*gap) != Some(*gap) {
            let (since, until) = (format!("{:.0}", gap.since), format!("{:.0}", gap.until));
            tracing::info!(since, until, "deliveries may be missing; what happened is fetched from Calendly");
        }
    }

    /// It was tried to.
    pub(super) fn tell_filled(&mut self, filled: &Result<Filled, FillError>) {
        match filled {
            Ok(Filled { looked, events }) => {
                (self.open, self.unfilled) = (None, false);
                metrics::gauge!(CALENDLY_BACKFILL_OPEN).set(0.0);
                tracing::info!(
                    meetings = looked.meetings,
                    refused = looked.refused,
                    events,
                    "what happened is fetched; what had been delivered comes twice"
                );
            }
            Err(error) if !std::mem::replace(&mut self.unfilled, true) => {
                tracing::warn!(%error, "what was not delivered cannot be fetched now; it will be tried again");
            }
            Err(_) => {}
        }
    }

    pub(super) fn tell(&mut self, looked: &Result<Ensured, CalendlyError>) {
        let outcome = match looked {
            Ok(Ensured { outcome: Outcome::Unchanged, .. }) => "unchanged",
            Ok(Ensured { outcome: Outcome::Created | Outcome::Replaced, .. }) => "created",
            Ok(Ensured { outcome: Outcome::Blocked, .. }) | Err(_) => "failed",
        };
        metrics::counter!(CALENDLY_SUBSCRIPTION_CHECKS, "outcome" => outcome).increment(1);
        match looked {
            Ok(ensured) => self.tell_found(ensured),
            Err(error) => {
                if rules_out(error) {
                    metrics::gauge!(CALENDLY_SUBSCRIPTION_ACTIVE).set(0.0);
                }
                if self.failure.replace(discriminant(error)) != Some(discriminant(error)) {
                    tracing::warn!(%error, "Calendly's subscription cannot be looked after");
                }
            }
        }
    }

    fn tell_found(&mut self, ensured: &Ensured) {
        if self.failure.take().is_some() {
            tracing::info!("Calendly's subscription is looked after again");
        }
        let subscription = ensured.subscription.as_ref();
        match ensured.outcome {
            Outcome::Unchanged => {}
            Outcome::Created | Outcome::Replaced => {
                let uri = subscription.map(|one| one.uri.as_str());
                let replaced = ensured.deleted.len() + ensured.kept.len();
                tracing::warn!(
                    uri,
                    replaced,
                    "Calendly's subscription was missing, disabled or wrong; there is a new one"
                );
            }
            Outcome::Blocked if self.blocked => {}
            Outcome::Blocked => {
                tracing::warn!(
                    "Calendly's subscription is disabled; there will be a new one when what it missed is fetched"
                );
            }
        }
        self.blocked = ensured.outcome == Outcome::Blocked;
        tell_left(&ensured.left);
        let active = subscription.is_some_and(|one| one.state == State::Active);
        metrics::gauge!(CALENDLY_SUBSCRIPTION_ACTIVE).set(if active { 1.0 } else { 0.0 });
        let failing = subscription.and_then(failing_since);
        metrics::gauge!(CALENDLY_SUBSCRIPTION_FAILING).set(failing.map_or(0.0, |since| since.as_secs_f64()));
        if failing.is_some() && !self.failing {
            tracing::warn!("Calendly's deliveries are failing; after 24 hours of that it disables the subscription");
        }
        self.failing = failing.is_some();
    }
}

/// What marks the gap has to go, and it is not filled.
pub(super) fn tell_given_up(gap: &Gap) {
    let (since, until) = (format!("{:.0}", gap.since), format!("{:.0}", gap.until));
    tracing::error!(
        since,
        until,
        "Calendly does not let this token see what was not delivered; with an administrator's: calctl backfill --since … --until …"
    );
}

/// What should have been deleted, and is there.
pub(super) fn tell_left(left: &[Leftover]) {
    for Leftover { uri, error } in left {
        tracing::warn!(uri, %error, "an old subscription cannot be deleted; it does no harm");
    }
}

/// How long deliveries have been failing, if they are. A clock behind Calendly's must not hide it.
fn failing_since(subscription: &Subscription) -> Option<Duration> {
    let since = subscription.retry_started_at?;
    let long = Duration::try_from(Timestamp::now().duration_since(since)).unwrap_or_default();
    Some(long.max(Duration::from_secs(1)))
}

/// Whether such an answer means that there is no right subscription. Of others nobody knows; the last look stands.
fn rules_out(error: &CalendlyError) -> bool {
    match error {
        CalendlyError::Plan { .. }
        | CalendlyError::Exists { .. }
        | CalendlyError::NotFound { .. }
        | CalendlyError::Refused { .. } => true,
        CalendlyError::Unreachable { .. }
        | CalendlyError::Broken { .. }
        | CalendlyError::RateLimited { .. }
        | CalendlyError::Server { .. }
        | CalendlyError::Token { .. }
        | CalendlyError::Forbidden { .. }
        | CalendlyError::Unreadable { .. } => false,
    }
}
