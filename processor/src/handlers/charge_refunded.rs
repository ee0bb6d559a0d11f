//! `charge.refunded`: also sent for partial refunds, and for refunds that somebody made in Stripe's dashboard.

use bookings::FactKind;
use schemas::StripeEvent;

use super::{Meaning, stripe};
use crate::failure::ProcessError;
use crate::stripe::Charge;

pub(super) fn handle(event: &StripeEvent) -> Result<Meaning, ProcessError> {
    let charge: Charge = stripe::object(event)?;
    let Some(payment_intent) = charge.payment_intent else { return Ok(Meaning::Nothing) };
    let amount_refunded = charge.amount_refunded;
    let kind = FactKind::ChargeRefunded { payment_intent: payment_intent.clone(), amount_refunded };
    Ok(stripe::payment_fact(event, payment_intent, kind))
}
