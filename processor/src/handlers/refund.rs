//! `refund.*`: a refund moved on. Only Stripe's word makes it done, and even that can be taken back.

use bookings::FactKind;
use schemas::StripeEvent;

use super::{Meaning, stripe};
use crate::failure::ProcessError;
use crate::stripe::{Refund, fact_status};

pub(super) fn changed(event: &StripeEvent) -> Result<Meaning, ProcessError> {
    let refund: Refund = stripe::object(event)?;
    // A refund of a bare charge has no payment of ours behind it.
    let Some(payment_intent) = refund.payment_intent else { return Ok(Meaning::Nothing) };
    let status = fact_status(refund.status.as_deref());
    let kind = FactKind::Refund {
        refund_id: refund.id,
        payment_intent: payment_intent.clone(),
        amount: refund.amount,
        status,
    };
    Ok(stripe::payment_fact(event, payment_intent, kind))
}
