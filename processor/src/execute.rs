//! Carries out a booking's operations at Stripe and reports what came of them.
//!
//! Every operation was written to the ledger, with its key and exact fields, and claimed, before this module sees it. A
//! crash at any point leaves it pending; whoever handles the booking's next event (the same one, delivered again) takes
//! it up under the same key, so Stripe does it once.

use std::time::Duration;

use bookings::store::{ClaimedOperation, Failure, LEASE, Request, StoreError, TryEnd};
use bookings::{Fact, failpoint};
use tokio::time::Instant;
use uuid::Uuid;

use crate::books::Books;
use crate::failure::ProcessError;
use crate::money;
use crate::perform::{self, Found};
use crate::stripe::{REQUEST_TIMEOUT, Stripe};

// Nobody else may try what may still be under way.
const _: () = assert!(REQUEST_TIMEOUT.as_secs() < LEASE.as_secs());

const BUSY_POLL: Duration = Duration::from_millis(100);
/// Longer than two leases: whoever has the operation has settled it by then, or is dead.
const BUSY_PATIENCE: Duration = Duration::from_secs(2 * LEASE.as_secs());
/// Operations that one event may lead to. A cancel meeting a payment makes three.
const MAX_STEPS: usize = 24;

/// Carries out what the plan asks for.
#[derive(Clone)]
pub struct Executor {
    books: Books,
    stripe: Stripe,
}

/// A try came to nothing: why, and what is left to do all the same.
struct Failed {
    error: ProcessError,
    next: Option<ClaimedOperation>,
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self { error: error.into(), next: None }
    }
}

impl Executor {
    /// An executor on these bookings and this account.
    pub fn new(books: Books, stripe: Stripe) -> Self {
        Self { books, stripe }
    }

    /// Carries out the operation that a request was answered with, and those that follow from it. An operation that
    /// fails does not keep the others; the first error is returned.
    pub async fn carry_out(&self, first: Option<ClaimedOperation>) -> Result<(), ProcessError> {
        let mut tried: Vec<Uuid> = Vec::new();
        let mut first_error = None;
        let mut next = first;
        while let Some(operation) = next {
            if tried.len() >= MAX_STEPS {
                return Err(first_error.unwrap_or(ProcessError::NoEnd));
            }
            tried.push(operation.id);
            next = match self.attempt(operation, &tried).await {
                Ok(next) => next,
                Err(Failed { error, next }) => {
                    first_error.get_or_insert(error);
                    next
                }
            };
        }
        first_error.map_or(Ok(()), Err)
    }

    /// Carries out what is left to do for a booking: what others have begun too, if they died over it. True when there was
    /// something to ask Stripe.
    pub async fn finish(&self, booking_id: Uuid) -> Result<bool, ProcessError> {
        let mut asked = false;
        let give_up = Instant::now() + BUSY_PATIENCE;
        while Instant::now() < give_up {
            let applied = self.books.apply(Request::work(booking_id, &[])).await?;
            match (applied.operation, applied.busy) {
                (Some(operation), _) => {
                    self.carry_out(Some(operation)).await?;
                    asked = true;
                }
                (None, None) => return Ok(asked),
                // Most likely they settle it in a moment; if they died, the lease runs out.
                (None, Some(left)) => tokio::time::sleep(left.min(BUSY_POLL)).await,
            }
        }
        Err(ProcessError::OperationBusy)
    }

    /// One try of one operation, and its report; the answer brings the next operation.
    async fn attempt(&self, operation: ClaimedOperation, tried: &[Uuid]) -> Result<Option<ClaimedOperation>, Failed> {
        let Some(mut operation) = self.wait_for_turn(operation, tried).await? else {
            return Err(Failed { error: ProcessError::OperationBusy, next: None });
        };
        if operation.look_up {
            match perform::look_up(&self.stripe, &operation).await {
                Ok(Found::Done(facts)) => return Ok(self.report(&operation, TryEnd::Done, facts, tried).await?),
                Ok(Found::Nothing) => {}
                Err(error) => return Err(self.fail(&operation, error, tried).await),
            }
            // Stripe does not have it, so the earlier tries came to nothing and a new key cannot do it twice.
            operation = match self.report(&operation, TryEnd::NotThere, Vec::new(), tried).await? {
                Some(renewed) if renewed.id == operation.id => renewed,
                // Nobody wants it any more.
                next => return Ok(next),
            };
            self.stripe.ready().await;
        }
        let result = perform::act(&self.stripe, &operation).await;
        failpoint::hit("answered");
        match result {
            Ok(facts) => Ok(self.report(&operation, TryEnd::Done, facts, tried).await?),
            Err(error) => Err(self.fail(&operation, error, tried).await),
        }
    }

    /// Waits for the rate limit. When that takes long, the lease is begun anew; `None` when it was lost.
    async fn wait_for_turn(
        &self,
        mut operation: ClaimedOperation,
        tried: &[Uuid],
    ) -> Result<Option<ClaimedOperation>, StoreError> {
        let claimed = Instant::now();
        self.stripe.ready().await;
        if claimed.elapsed() + REQUEST_TIMEOUT < LEASE {
            return Ok(Some(operation));
        }
        let kept = self.report(&operation, TryEnd::Waiting, Vec::new(), tried).await?;
        // Meanwhile it may have become something that nobody wants and that is to be looked for first.
        let Some(kept) = kept.filter(|kept| kept.id == operation.id) else { return Ok(None) };
        operation.look_up |= kept.look_up;
        Ok(Some(operation))
    }

    async fn report(
        &self,
        operation: &ClaimedOperation,
        end: TryEnd,
        facts: Vec<Fact>,
        tried: &[Uuid],
    ) -> Result<Option<ClaimedOperation>, StoreError> {
        Ok(self.books.apply(Request::report(operation, end, facts, tried)).await?.operation)
    }

    /// Writes down why a try came to nothing.
    async fn fail(&self, operation: &ClaimedOperation, error: ProcessError, tried: &[Uuid]) -> Failed {
        let (may_be_done, key_is_spent, is_final) = match &error {
            ProcessError::Stripe(error) => (error.may_be_done(), error.spends_key(), error.is_final()),
            // Ours: what Stripe did is unknown.
            _ => (true, false, false),
        };
        let failure = Failure { error: error.to_string(), may_be_done, key_is_spent };
        let end = if is_final {
            money::refused(operation.kind);
            TryEnd::Refused(failure)
        } else {
            TryEnd::Released(failure)
        };
        let next = match self.report(operation, end, Vec::new(), tried).await {
            Ok(next) => next,
            // Without the note the lease runs out by itself, and the try counts as in doubt.
            Err(unwritten) => {
                tracing::debug!(error = %unwritten, "the end of a try could not be written to the ledger");
                None
            }
        };
        Failed { error, next }
    }
}
