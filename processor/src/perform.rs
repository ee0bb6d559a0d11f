//! One operation at Stripe: doing it, or finding out what became of earlier tries, as facts.

use bookings::store::ClaimedOperation;
use bookings::{Fact, FactKind, OperationKind};
use jiff::Timestamp;
use uuid::Uuid;

use crate::failure::ProcessError;
use crate::handlers::paid_fact;
use crate::stripe::{CheckoutSession, Refund, Stripe, StripeError, fact_status};

/// What a look at Stripe brought.
pub(crate) enum Found {
    /// It was done.
    Done(Vec<Fact>),
    /// It was never done.
    Nothing,
}

/// Asks Stripe to do it.
pub(crate) async fn act(stripe: &Stripe, operation: &ClaimedOperation) -> Result<Vec<Fact>, ProcessError> {
    let key = &operation.idempotency_key;
    match operation.kind {
        OperationKind::CreateSession => {
            let session = stripe.create_session(key, &operation.params).await?;
            session_facts(stripe, operation, session).await
        }
        OperationKind::ExpireSession => expire(stripe, operation).await,
        OperationKind::Refund => match stripe.refund(key, &operation.params).await {
            Ok(refund) => Ok(refund_facts(operation, &[refund])),
            // Somebody was faster, in the dashboard for example: their refund is the one that counts.
            Err(error) if error.has_code("charge_already_refunded") => {
                let refunds = stripe.refunds_of(&operation.target).await?;
                Ok(refund_facts(operation, &refunds))
            }
            Err(error) => Err(error.into()),
        },
    }
}

/// Expires a session. Stripe refuses when the customer was faster: then the session itself tells what happened.
async fn expire(stripe: &Stripe, operation: &ClaimedOperation) -> Result<Vec<Fact>, ProcessError> {
    let session = match stripe.expire_session(&operation.idempotency_key, &operation.target).await {
        Ok(session) => session,
        Err(error @ StripeError::Refused { .. }) => {
            let session = stripe.session(&operation.target).await?;
            if session.status.as_deref() == Some("open") {
                return Err(error.into());
            }
            session
        }
        Err(error) => return Err(error.into()),
    };
    outcome_facts(stripe, operation, session).await
}

/// What Stripe has of an operation whose key can no longer tell.
pub(crate) async fn look_up(stripe: &Stripe, operation: &ClaimedOperation) -> Result<Found, ProcessError> {
    let id = operation.id.to_string();
    match operation.kind {
        OperationKind::CreateSession => {
            // A minute for the two clocks to differ, and for a request that was under way.
            let last = operation.last_tried_at.unwrap_or(operation.created_at);
            let window = (operation.created_at.as_second() - 60, last.as_second() + 120);
            match stripe.session_of(&id, window).await? {
                Some(session) => session_facts(stripe, operation, session).await.map(Found::Done),
                None => Ok(Found::Nothing),
            }
        }
        OperationKind::ExpireSession => {
            let session = stripe.session(&operation.target).await?;
            if session.status.as_deref() == Some("open") {
                return Ok(Found::Nothing);
            }
            outcome_facts(stripe, operation, session).await.map(Found::Done)
        }
        OperationKind::Refund => {
            let mut refunds = stripe.refunds_of(&operation.target).await?;
            refunds.retain(|refund| refund.metadata.as_ref().and_then(|m| m.get("operation_id")) == Some(&id));
            Ok(if refunds.is_empty() { Found::Nothing } else { Found::Done(refund_facts(operation, &refunds)) })
        }
    }
}

/// A session that was opened: what it is, and what has become of it if it was found later.
async fn session_facts(
    stripe: &Stripe,
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
        facts.extend(outcome_facts(stripe, operation, session).await?);
    }
    Ok(facts)
}

/// How a session ended.
async fn outcome_facts(
    stripe: &Stripe,
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
            let at = stripe.paid_at(&intent).await?.unwrap_or_else(Timestamp::now);
            ("paid", "session.paid", at, paid_fact(session)?)
        }
        (Some("complete"), _) => {
            ("processing", "session.processing", Timestamp::now(), FactKind::SessionProcessing { session_id })
        }
        _ => return Err(ProcessError::Unusable("Stripe's session is neither open, complete nor expired")),
    };
    Ok(vec![fact(operation, name, event_type, at, kind)])
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
