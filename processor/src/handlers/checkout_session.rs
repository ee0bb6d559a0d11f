//! `checkout.session.*`: the customer paid, is about to have paid, or did not.

use bookings::FactKind;
use schemas::StripeEvent;

use super::{Meaning, stripe};
use crate::failure::ProcessError;
use crate::stripe::CheckoutSession;

pub(super) fn completed(event: &StripeEvent) -> Result<Meaning, ProcessError> {
    let session: CheckoutSession = stripe::object(event)?;
    // `unpaid` here means a payment method that takes days: `async_payment_*` will tell.
    let paid = session.payment_status.as_deref() == Some("paid");
    let kind = if paid { paid_fact(session)? } else { FactKind::SessionProcessing { session_id: session.id } };
    Ok(stripe::fact(event, kind))
}

pub(super) fn async_payment_succeeded(event: &StripeEvent) -> Result<Meaning, ProcessError> {
    Ok(stripe::fact(event, paid_fact(stripe::object(event)?)?))
}

pub(super) fn async_payment_failed(event: &StripeEvent) -> Result<Meaning, ProcessError> {
    let session: CheckoutSession = stripe::object(event)?;
    Ok(stripe::fact(event, FactKind::SessionFailed { session_id: session.id }))
}

pub(super) fn expired(event: &StripeEvent) -> Result<Meaning, ProcessError> {
    let session: CheckoutSession = stripe::object(event)?;
    Ok(stripe::fact(event, FactKind::SessionExpired { session_id: session.id }))
}

/// The fact that a session was paid.
pub(crate) fn paid_fact(session: CheckoutSession) -> Result<FactKind, ProcessError> {
    let payment_intent = session.payment_intent.ok_or(ProcessError::Unusable("a paid session names no payment"))?;
    // A payment of unknown size would look returned before anything was.
    let amount = session.amount_total.ok_or(ProcessError::Unusable("a paid session names no amount"))?;
    Ok(FactKind::SessionPaid {
        session_id: session.id,
        payment_intent,
        amount,
        currency: session.currency.unwrap_or_default(),
    })
}
