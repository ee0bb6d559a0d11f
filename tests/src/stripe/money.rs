//! What happens at Stripe without a request of ours: customers pay, banks settle, people use the dashboard.

use std::collections::BTreeMap;

use super::model::{IntentStatus, PaymentIntent, Refund, RefundStatus, SessionStatus};
use super::objects;
use super::store::{RefundMode, Store};

/// Why a control could not do what it was told.
#[derive(Debug)]
pub struct ControlError(pub(super) String);

impl std::fmt::Display for ControlError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ControlError {}

fn refuse<T>(message: String) -> Result<T, ControlError> {
    Err(ControlError(message))
}

impl Store {
    /// The customer goes through checkout, with a card (`paid`) or a delayed method. Gives the payment intent's id.
    pub(super) fn complete(&mut self, session: &str, paid: bool) -> Result<String, ControlError> {
        self.expire_due();
        let (intent_id, charge, created) = (self.id("pi_", 24), self.id("ch_", 24), self.now());
        let Some(session) = self.sessions.get_mut(session) else { return refuse(format!("no session {session}")) };
        if session.status != SessionStatus::Open {
            return refuse(format!("session {} is {:?}", session.id, session.status));
        }
        session.status = SessionStatus::Complete;
        session.paid = paid;
        session.url = None;
        session.payment_intent = Some(intent_id.clone());
        let intent = PaymentIntent {
            id: intent_id.clone(),
            charge,
            status: if paid { IntentStatus::Succeeded } else { IntentStatus::Processing },
            amount: session.amount,
            currency: session.currency.clone(),
            created,
            metadata: session.payment_intent_metadata.clone(),
            session: session.id.clone(),
        };
        let completed = objects::session(session);
        self.intents.insert(intent);
        self.emit_intent(&intent_id);
        self.emit("checkout.session.completed", &completed);
        Ok(intent_id)
    }

    /// A delayed payment arrives, or fails.
    pub(super) fn settle_payment(&mut self, session: &str, ok: bool) -> Result<(), ControlError> {
        let Some(session) = self.sessions.get_mut(session) else { return refuse(format!("no session {session}")) };
        let Some(intent) = session.payment_intent.as_deref().and_then(|id| self.intents.get_mut(id)) else {
            return refuse(format!("session {} has no payment", session.id));
        };
        if intent.status != IntentStatus::Processing {
            return refuse(format!("{} is {:?}", intent.id, intent.status));
        }
        intent.status = if ok { IntentStatus::Succeeded } else { IntentStatus::RequiresPaymentMethod };
        session.paid = ok;
        let (intent, session) = (intent.id.clone(), objects::session(session));
        self.emit_intent(&intent);
        let outcome = if ok { "async_payment_succeeded" } else { "async_payment_failed" };
        self.emit(&format!("checkout.session.{outcome}"), &session);
        Ok(())
    }

    fn emit_intent(&mut self, id: &str) {
        let intent = self.intents.get(id).unwrap();
        let (object, charge) = (objects::intent(intent), self.charge(intent));
        let (told, charged) = match intent.status {
            IntentStatus::Processing => ("payment_intent.processing", "charge.pending"),
            IntentStatus::Succeeded => ("payment_intent.succeeded", "charge.succeeded"),
            IntentStatus::RequiresPaymentMethod => ("payment_intent.payment_failed", "charge.failed"),
        };
        self.emit(told, &object);
        self.emit(charged, &charge);
    }

    /// Makes a refund that was found to be possible, and tells of it.
    pub(super) fn refund(
        &mut self,
        intent: &PaymentIntent,
        amount: i64,
        reason: Option<String>,
        metadata: BTreeMap<String, String>,
    ) -> Refund {
        let status = match self.refund_mode {
            RefundMode::Instant => RefundStatus::Succeeded,
            RefundMode::Pending => RefundStatus::Pending,
        };
        let refund = Refund {
            id: self.id("re_", 24),
            payment_intent: intent.id.clone(),
            charge: intent.charge.clone(),
            status,
            amount,
            currency: intent.currency.clone(),
            created: self.now(),
            reason,
            metadata,
            failure_reason: None,
        };
        self.refunds.insert(refund.clone());
        self.emit("refund.created", &objects::refund(&refund));
        if status == RefundStatus::Succeeded || self.early_charge_refunded {
            self.emit("charge.refunded", &self.charge(intent));
        }
        if status == RefundStatus::Succeeded {
            // Stripe updates a refund once its bank reference is known, seconds after creating it.
            self.emit_update(&refund);
        }
        refund
    }

    fn emit_update(&mut self, refund: &Refund) {
        self.emit("refund.updated", &objects::refund(refund));
        self.emit("charge.refund.updated", &objects::refund(refund));
    }

    /// Settles a refund. One that succeeded can still fail; nothing else moves out of a settled state.
    pub(super) fn settle_refund(&mut self, id: &str, to: RefundStatus) -> Result<(), ControlError> {
        let Some(refund) = self.refunds.get_mut(id) else { return refuse(format!("no refund {id}")) };
        let from = refund.status;
        let possible = match from {
            RefundStatus::Pending => to != RefundStatus::Pending,
            RefundStatus::Succeeded => to == RefundStatus::Failed,
            RefundStatus::Failed | RefundStatus::Canceled => false,
        };
        if !possible {
            return refuse(format!("refund {id} is {from:?}, it cannot become {to:?}"));
        }
        refund.status = to;
        if to == RefundStatus::Failed {
            refund.failure_reason = Some("expired_or_canceled_card".to_owned());
        }
        let refund = refund.clone();
        self.emit_update(&refund);
        match to {
            RefundStatus::Succeeded if !self.early_charge_refunded => {
                let charge = self.charge(self.intents.get(&refund.payment_intent).unwrap());
                self.emit("charge.refunded", &charge);
            }
            RefundStatus::Failed => self.emit("refund.failed", &objects::refund(&refund)),
            RefundStatus::Succeeded | RefundStatus::Pending | RefundStatus::Canceled => {}
        }
        Ok(())
    }

    /// A person refunds a part of a payment in the dashboard: no metadata of ours, no request.
    pub(super) fn dashboard_refund(&mut self, intent: &str, amount: i64) -> Result<String, ControlError> {
        let Some(intent) = self.intents.get(intent).cloned() else {
            return refuse(format!("no payment intent {intent}"));
        };
        let left = self.refundable(&intent);
        if intent.status != IntentStatus::Succeeded || amount < 1 || amount > left {
            return refuse(format!("{amount} cannot be refunded of {}, {left} is left", intent.id));
        }
        Ok(self.refund(&intent, amount, Some("requested_by_customer".to_owned()), BTreeMap::new()).id)
    }
}
