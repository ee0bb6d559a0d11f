//! An operation of the ledger in memory: who may try it, and what came of it. Pure; the booking's row is locked
//! whenever one of these changes.

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::super::params::{self, CheckoutTerms, Fields};
use super::request::{ClaimedOperation, Failure, LEASE, Report, TryEnd};
use crate::plan::{Operation, OperationKind, OperationState};

/// Stripe keeps a key for 24 hours at least; after this long it may execute a key a second time.
const KEY_AGE: SignedDuration = SignedDuration::from_hours(23);

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) id: Uuid,
    pub(super) kind: OperationKind,
    pub(super) target: String,
    pub(super) key: String,
    /// Loaded only where somebody may need them: for what is pending or failed.
    pub(super) params: Option<Fields>,
    pub(super) state: OperationState,
    pub(super) attempts: i32,
    pub(super) keys_used: i32,
    pub(super) first_tried_at: Option<Timestamp>,
    pub(super) last_tried_at: Option<Timestamp>,
    pub(super) look_up: bool,
    pub(super) in_doubt: bool,
    pub(super) lease: Option<Uuid>,
    pub(super) lease_until: Option<Timestamp>,
    pub(super) error: Option<String>,
    pub(super) created_at: Timestamp,
    pub(super) settled_at: Option<Timestamp>,
    pub(super) change: Change,
}

/// What has to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Nothing,
    State,
    /// The fields too.
    Params,
    /// All of it.
    Inserted,
}

impl Entry {
    pub(super) fn planned(id: Uuid, kind: OperationKind, target: &str, params: Fields, now: Timestamp) -> Self {
        Self {
            id,
            kind,
            target: target.to_owned(),
            key: format!("{id}-1"),
            params: Some(params),
            state: OperationState::Pending,
            attempts: 0,
            keys_used: 1,
            first_tried_at: None,
            last_tried_at: None,
            look_up: false,
            in_doubt: false,
            lease: None,
            lease_until: None,
            error: None,
            created_at: now,
            settled_at: None,
            change: Change::Inserted,
        }
    }

    /// As planning sees it.
    pub(super) fn for_plan(&self) -> Operation {
        let Self { id, kind, state, .. } = *self;
        Operation { id, kind, target: self.target.clone(), state, harmless: !self.in_doubt }
    }

    pub(super) fn is_free(&self, now: Timestamp) -> bool {
        self.state == OperationState::Pending && self.lease_until.is_none_or(|until| until < now)
    }

    /// How long somebody else may still be trying it.
    pub(super) fn busy_for(&self, now: Timestamp) -> Option<SignedDuration> {
        let until = self.lease_until.filter(|_| self.state == OperationState::Pending)?;
        Some(until.duration_since(now)).filter(|left| !left.is_negative())
    }

    /// Pending, and this lease was not given to anybody else meanwhile.
    pub(super) fn is_held_under(&self, lease: Uuid) -> bool {
        self.state == OperationState::Pending && self.lease == Some(lease)
    }

    /// Takes note of a try's end.
    pub(super) fn note(&mut self, report: &Report, now: Timestamp) {
        // What Stripe did counts whoever asked for it; for the rest the lease must still be the caller's.
        if matches!(report.end, TryEnd::Done) {
            self.settle(OperationState::Done, now);
            self.error = None;
            return;
        }
        if !self.is_held_under(report.lease) {
            return;
        }
        self.touch();
        match &report.end {
            TryEnd::Released(failure) => {
                self.fail(failure, report.was_in_doubt);
                self.look_up |= failure.key_is_spent;
            }
            TryEnd::Refused(failure) => {
                self.fail(failure, report.was_in_doubt);
                self.settle(OperationState::Failed, now);
            }
            TryEnd::NotThere => self.in_doubt = false,
            // The former is dealt with above; the latter only renews the lease, see [`Self::keep`].
            TryEnd::Done | TryEnd::Waiting => {}
        }
    }

    fn fail(&mut self, failure: &Failure, was_in_doubt: bool) {
        self.free();
        self.in_doubt = failure.may_be_done || was_in_doubt;
        self.error = Some(failure.error.clone());
    }

    fn free(&mut self) {
        (self.lease, self.lease_until) = (None, None);
    }

    fn settle(&mut self, state: OperationState, now: Timestamp) {
        self.touch();
        self.free();
        self.state = state;
        self.settled_at = Some(now);
    }

    pub(super) fn abandon(&mut self, now: Timestamp) {
        self.settle(OperationState::Abandoned, now);
    }

    /// A refused operation is tried again; whatever its tries did is looked for first.
    pub(super) fn revive(&mut self) {
        self.touch();
        self.state = OperationState::Pending;
        self.look_up = true;
        self.settled_at = None;
    }

    /// Nobody wants it any more, and it may have been done: sending it once more would do it for sure.
    pub(super) fn look_up_first(&mut self) {
        if !self.look_up {
            self.touch();
            self.look_up = true;
        }
    }

    /// Drops who pays from the fields. What was sent with them is looked for before anything is sent without.
    pub(super) fn forget_person(&mut self) {
        if self.params.as_mut().is_some_and(params::forget_person) {
            self.look_up |= self.attempts > 0;
            if self.change != Change::Inserted {
                self.change = Change::Params;
            }
        }
    }

    fn touch(&mut self) {
        if self.change == Change::Nothing {
            self.change = Change::State;
        }
    }

    /// Claims a free operation. The try is counted before it is made, and is in doubt until its outcome is known: that is
    /// what a crash leaves behind.
    pub(super) fn claim(&mut self, booking_id: Uuid, terms: &CheckoutTerms, now: Timestamp) -> ClaimedOperation {
        let (was_in_doubt, last_tried_at) = (self.in_doubt, self.last_tried_at);
        self.touch();
        self.attempts += 1;
        self.in_doubt = true;
        self.last_tried_at = Some(now);
        let first_tried_at = *self.first_tried_at.get_or_insert(now);
        self.lease_from(now);
        self.lease = Some(Uuid::new_v4());
        let is_fresh = params::are_fresh(self.params.as_deref().unwrap_or_default(), now);
        if self.attempts == 1 && !is_fresh {
            // Planned so long ago that Stripe would refuse the expiry, and never tried: nothing to look for.
            self.renew_key(terms, now);
        }
        let key_is_old = now.duration_since(first_tried_at) > KEY_AGE;
        let look_up = self.look_up || key_is_old || (self.attempts > 1 && !is_fresh);
        ClaimedOperation { look_up, last_tried_at, was_in_doubt, ..self.claimed(booking_id) }
    }

    /// Gives an operation back to the caller that has it already: with a new lease, and after a look at Stripe in vain
    /// with a new key (and a new expiry) too.
    pub(super) fn keep(
        &mut self,
        booking_id: Uuid,
        report: &Report,
        terms: &CheckoutTerms,
        now: Timestamp,
    ) -> ClaimedOperation {
        let not_there = matches!(report.end, TryEnd::NotThere);
        let look_up = self.look_up && !not_there;
        // The request goes out only now, perhaps minutes after the claim. A later look-up reaches up to its last try.
        self.last_tried_at = Some(now);
        if not_there {
            self.renew_key(terms, now);
        }
        self.lease_from(now);
        ClaimedOperation { look_up, was_in_doubt: report.was_in_doubt && !not_there, ..self.claimed(booking_id) }
    }

    fn lease_from(&mut self, now: Timestamp) {
        let lease = SignedDuration::try_from(LEASE).unwrap_or(SignedDuration::ZERO);
        self.lease_until = now.checked_add(lease).ok();
    }

    fn renew_key(&mut self, terms: &CheckoutTerms, now: Timestamp) {
        self.keys_used += 1;
        self.key = format!("{}-{}", self.id, self.keys_used);
        if let Some(params) = &mut self.params {
            params::refresh(params, terms, now);
        }
        self.look_up = false;
        self.first_tried_at = Some(now);
        self.in_doubt = true;
        if self.change != Change::Inserted {
            self.change = Change::Params;
        }
    }

    fn claimed(&self, booking_id: Uuid) -> ClaimedOperation {
        ClaimedOperation {
            id: self.id,
            booking_id,
            kind: self.kind,
            target: self.target.clone(),
            idempotency_key: self.key.clone(),
            params: self.params.clone().unwrap_or_default(),
            look_up: self.look_up,
            created_at: self.created_at,
            last_tried_at: self.last_tried_at,
            was_in_doubt: self.in_doubt,
            lease: self.lease.unwrap_or_default(),
        }
    }
}
