//! Carries out a booking's pending operations at Stripe and settles what came of them.
//!
//! Every operation was written to the ledger, with its key and exact fields, before this module sees it. A crash at any
//! point leaves it pending; whoever handles the booking's next event (the same one, delivered again) takes it up under
//! the same key, so Stripe does it once.

use std::time::Duration;

use bookings::store::{Claim, ClaimedOperation, Store, TryEnd};
use bookings::{Fact, FactKind, OperationKind};
use jiff::Timestamp;
use tokio::time::Instant;
use uuid::Uuid;

use crate::failure::ProcessError;
use crate::handlers::paid_fact;
use crate::stripe::{CheckoutSession, REQUEST_TIMEOUT, Refund, Stripe, StripeError, fact_status};

/// Longer than a request may take, so that no second process tries what may still be under way.
const LEASE: Duration = REQUEST_TIMEOUT.saturating_add(Duration::from_secs(5));
const BUSY_POLL: Duration = Duration::from_millis(100);
/// Operations that one event may lead to. A cancel meeting a payment makes three.
const MAX_STEPS: usize = 24;

/// Carries out what the plan asks for.
#[derive(Clone)]
pub struct Executor {
    store: Store,
    stripe: Stripe,
}

impl Executor {
    /// An executor on this ledger and this account.
    pub fn new(store: Store, stripe: Stripe) -> Self {
        Self { store, stripe }
    }

    /// Carries out all pending operations of a booking, and those that follow from them. An operation that fails does
    /// not keep the others; the first error is returned.
    pub async fn run(&self, booking_id: Uuid) -> Result<(), ProcessError> {
        let mut tried = Vec::new();
        let mut first_error = None;
        let give_up = Instant::now() + LEASE + LEASE;
        for _ in 0..MAX_STEPS {
            self.stripe.ready().await;
            let operation = match self.store.claim(booking_id, &tried, LEASE).await? {
                Claim::Nothing => return first_error.map_or(Ok(()), Err),
                Claim::Operation(operation) => operation,
                Claim::Busy(left) => {
                    self.wait_for_other(booking_id, &tried, left, give_up).await?;
                    continue;
                }
            };
            tried.push(operation.id);
            if let Err(error) = self.attempt(&operation).await {
                first_error.get_or_insert(error);
            }
        }
        Err(first_error.unwrap_or(ProcessError::NoEnd))
    }

    /// Another process has the operation. Most likely it settles it in a moment; if it died, its lease runs out.
    async fn wait_for_other(
        &self,
        booking_id: Uuid,
        tried: &[Uuid],
        mut left: Duration,
        give_up: Instant,
    ) -> Result<(), ProcessError> {
        while Instant::now() < give_up {
            tokio::time::sleep(left.min(BUSY_POLL)).await;
            match self.store.busy(booking_id, tried).await? {
                Some(more) => left = more,
                None => return Ok(()),
            }
        }
        Err(ProcessError::OperationBusy)
    }

    /// One try of one operation: do it, then settle it or say in the ledger why not.
    async fn attempt(&self, operation: &ClaimedOperation) -> Result<(), ProcessError> {
        match self.perform(operation).await {
            Ok(Some(facts)) => {
                self.store.settle(operation, &facts).await?;
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(error) => {
                let text = error.to_string();
                let (may_be_done, key_is_spent, is_final) = match &error {
                    ProcessError::Stripe(error) => (error.may_be_done(), error.spends_key(), error.is_final()),
                    // Ours or the database's: what Stripe did is unknown.
                    _ => (true, false, false),
                };
                let end = TryEnd { error: &text, may_be_done, key_is_spent };
                let told = if is_final {
                    self.store.fail(operation, &end).await
                } else {
                    self.store.release(operation, &end).await
                };
                // Without the note the lease runs out by itself, and the try counts as in doubt.
                if let Err(unwritten) = told {
                    tracing::debug!(error = %unwritten, "the end of a try could not be written to the ledger");
                }
                Err(error)
            }
        }
    }

    /// What became of it; `None` when it turned out that nobody wants it any more.
    async fn perform(&self, operation: &ClaimedOperation) -> Result<Option<Vec<Fact>>, ProcessError> {
        if !operation.look_up {
            return self.act(operation).await.map(Some);
        }
        if let Some(facts) = self.look_up(operation).await? {
            return Ok(Some(facts));
        }
        // Stripe does not have it, so the earlier tries came to nothing and a new key cannot do it twice.
        if !self.store.reconsider(operation).await? {
            return Ok(None);
        }
        let renewed = self.store.renew_key(operation).await?;
        self.stripe.ready().await;
        self.act(&renewed).await.map(Some)
    }

    async fn act(&self, operation: &ClaimedOperation) -> Result<Vec<Fact>, ProcessError> {
        let key = &operation.idempotency_key;
        match operation.kind {
            OperationKind::CreateSession => {
                let session = self.stripe.create_session(key, &operation.params).await?;
                self.session_facts(operation, session).await
            }
            OperationKind::ExpireSession => self.expire(operation).await,
            OperationKind::Refund => match self.stripe.refund(key, &operation.params).await {
                Ok(refund) => Ok(refund_facts(operation, &[refund])),
                // Somebody was faster, in the dashboard for example: their refund is the one that counts.
                Err(error) if error.has_code("charge_already_refunded") => {
                    let refunds = self.stripe.refunds_of(&operation.target).await?;
                    Ok(refund_facts(operation, &refunds))
                }
                Err(error) => Err(error.into()),
            },
        }
    }

    /// Expires a session. Stripe refuses when the customer was faster: then the session itself tells what happened.
    async fn expire(&self, operation: &ClaimedOperation) -> Result<Vec<Fact>, ProcessError> {
        let session = match self.stripe.expire_session(&operation.idempotency_key, &operation.target).await {
            Ok(session) => session,
            Err(error @ StripeError::Refused { .. }) => {
                let session = self.stripe.session(&operation.target).await?;
                if session.status.as_deref() == Some("open") {
                    return Err(error.into());
                }
                session
            }
            Err(error) => return Err(error.into()),
        };
        self.outcome_facts(operation, session).await
    }

    /// What Stripe has of an operation whose key can no longer tell.
    async fn look_up(&self, operation: &ClaimedOperation) -> Result<Option<Vec<Fact>>, ProcessError> {
        let id = operation.id.to_string();
        match operation.kind {
            OperationKind::CreateSession => {
                // A minute for the two clocks to differ, and for a request that was under way.
                let last = operation.last_tried_at.unwrap_or(operation.created_at);
                let window = (operation.created_at.as_second() - 60, last.as_second() + 120);
                match self.stripe.session_of(&id, window).await? {
                    Some(session) => self.session_facts(operation, session).await.map(Some),
                    None => Ok(None),
                }
            }
            OperationKind::ExpireSession => {
                let session = self.stripe.session(&operation.target).await?;
                let open = session.status.as_deref() == Some("open");
                if open { Ok(None) } else { self.outcome_facts(operation, session).await.map(Some) }
            }
            OperationKind::Refund => {
                let mut refunds = self.stripe.refunds_of(&operation.target).await?;
                refunds.retain(|refund| refund.metadata.as_ref().and_then(|m| m.get("operation_id")) == Some(&id));
                Ok((!refunds.is_empty()).then(|| refund_facts(operation, &refunds)))
            }
        }
    }

    /// A session that was opened: what it is, and what has become of it if it was found later.
    async fn session_facts(
        &self,
        operation: &ClaimedOperation,
        session: CheckoutSession,
    ) -> Result<Vec<Fact>, ProcessError> {
        let (slot, priced_for) = bookings::parse_session_target(&operation.target);
        let opened = bookings::fact::SessionOpened {
            session_id: session.id.clone(),
            url: session.url.clone(),
            amount: session.amount_total.unwrap_or_default(),
            currency: session.currency.clone().unwrap_or_default(),
            priced_for: priced_for.to_owned(),
            slot: slot.to_owned(),
        };
        let opened_at = Timestamp::from_second(session.created).unwrap_or(operation.created_at);
        let mut facts = vec![fact(operation, "opened", "session.opened", opened_at, FactKind::SessionOpened(opened))];
        if session.status.as_deref().is_some_and(|status| status != "open") {
            facts.extend(self.outcome_facts(operation, session).await?);
        }
        Ok(facts)
    }

    /// How a session ended.
    async fn outcome_facts(
        &self,
        operation: &ClaimedOperation,
        session: CheckoutSession,
    ) -> Result<Vec<Fact>, ProcessError> {
        let session_id = session.id.clone();
        let (name, event_type, at, kind) = match (session.status.as_deref(), session.payment_status.as_deref()) {
            (Some("expired"), _) => {
                ("expired", "session.expired", Timestamp::now(), FactKind::SessionExpired { session_id })
            }
            (Some("complete"), Some("paid")) => {
                // The session does not tell when: the charge does. Which of two payments is the second hangs on it.
                let intent = session.payment_intent.clone().unwrap_or_default();
                let at = self.stripe.paid_at(&intent).await?.unwrap_or_else(Timestamp::now);
                ("paid", "session.paid", at, paid_fact(session)?)
            }
            (Some("complete"), _) => {
                ("processing", "session.processing", Timestamp::now(), FactKind::SessionProcessing { session_id })
            }
            _ => return Err(ProcessError::Unusable("Stripe's session is neither open, complete nor expired")),
        };
        Ok(vec![fact(operation, name, event_type, at, kind)])
    }
}

fn fact(operation: &ClaimedOperation, name: &str, event_type: &str, occurred_at: Timestamp, kind: FactKind) -> Fact {
    let id = Uuid::new_v5(&operation.id, name.as_bytes());
    Fact { id, event_type: event_type.to_owned(), occurred_at, kind }
}

fn refund_facts(operation: &ClaimedOperation, refunds: &[Refund]) -> Vec<Fact> {
    let facts = refunds.iter().map(|refund| {
        let status = fact_status(refund.status.as_deref());
        let name = format!("{} {status:?}", refund.id);
        let kind = FactKind::Refund {
            refund_id: refund.id.clone(),
            payment_intent: refund.payment_intent.clone().unwrap_or_else(|| operation.target.clone()),
            amount: refund.amount,
            status,
        };
        let at = Timestamp::from_second(refund.created).unwrap_or(operation.created_at);
        fact(operation, &name, "refund.requested", at, kind)
    });
    facts.collect()
}
