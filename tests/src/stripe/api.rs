//! What each endpoint does once its parameters were found sound.

use serde_json::Value;

use super::endpoint::Endpoint;
use super::error::Refusal;
use super::expand;
use super::lists;
use super::model::{IntentStatus, PaymentIntent, Session, SessionStatus};
use super::objects;
use super::params::Params;
use super::rules;
use super::store::Store;

const A_DAY: i64 = 24 * 60 * 60;

impl Store {
    pub(super) fn execute(&mut self, endpoint: Endpoint, id: &str, params: &Params) -> Result<Value, Refusal> {
        let mut answer = match endpoint {
            Endpoint::CreateSession => self.create_session(params)?,
            Endpoint::GetSession => objects::session(self.session(id)?),
            Endpoint::ListSessions => lists::sessions(self, params)?,
            Endpoint::ExpireSession => self.expire_session(id)?,
            Endpoint::CreateRefund => self.create_refund(params)?,
            Endpoint::GetRefund => {
                let refund = self.refunds.get(id).ok_or_else(|| Refusal::no_such("refund", id, "id"))?;
                objects::refund(refund)
            }
            Endpoint::ListRefunds => lists::refunds(self, params)?,
            Endpoint::GetPaymentIntent => {
                let intent = self.intents.get(id).ok_or_else(|| Refusal::no_such("payment_intent", id, "intent"))?;
                objects::intent(intent)
            }
            Endpoint::Balance => objects::balance(),
            Endpoint::Account => objects::account(),
        };
        for path in params.list("expand") {
            expand::expand(self, &mut answer, &path)?;
        }
        Ok(answer)
    }

    fn session(&self, id: &str) -> Result<&Session, Refusal> {
        self.sessions.get(id).ok_or_else(|| Refusal::no_such("checkout.session", id, "session"))
    }

    fn create_session(&mut self, params: &Params) -> Result<Value, Refusal> {
        let (amount, currency) = rules::total(params)?;
        let id = self.id("cs_test_a1", 56);
        let created = self.now();
        let session = Session {
            url: Some(format!("{}/c/pay/{id}", self.pages)),
            id,
            status: SessionStatus::Open,
            paid: false,
            amount,
            currency,
            created,
            expires_at: params.int("expires_at").unwrap_or(created + A_DAY),
            client_reference_id: params.owned("client_reference_id"),
            metadata: set_entries(params, "metadata"),
            customer_email: params.owned("customer_email"),
            payment_intent: None,
            payment_intent_metadata: set_entries(params, "payment_intent_data[metadata]"),
            product: params.owned("line_items[0][price_data][product_data][name]").unwrap_or_default(),
            success_url: params.owned("success_url").unwrap_or_default(),
            cancel_url: params.owned("cancel_url"),
        };
        let answer = objects::session(&session);
        self.add_session(session);
        Ok(answer)
    }

    fn expire_session(&mut self, id: &str) -> Result<Value, Refusal> {
        let session = self.session(id)?;
        let status = match session.status {
            SessionStatus::Open => {
                self.expire(id);
                return Ok(objects::session(self.session(id)?));
            }
            SessionStatus::Complete => "complete",
            SessionStatus::Expired => "expired",
        };
        Err(Refusal::invalid(format!(
            "Only Checkout Sessions with a status in [\"open\"] can be expired. \
             This Checkout Session has a status of `{status}`."
        )))
    }

    fn create_refund(&mut self, params: &Params) -> Result<Value, Refusal> {
        let intent = self.refunded_intent(params)?;
        if intent.status != IntentStatus::Succeeded {
            let message = format!("This PaymentIntent ({}) does not have a successful charge to refund.", intent.id);
            return Err(Refusal::invalid(message));
        }
        let left = self.refundable(&intent);
        if left == 0 {
            let message = format!("Charge {} has already been refunded.", intent.charge);
            return Err(Refusal::invalid(message).code("charge_already_refunded"));
        }
        let amount = params.int("amount").unwrap_or(left);
        if amount > left {
            let message = format!("Refund amount ({amount}) is greater than unrefunded amount on charge ({left})");
            return Err(Refusal::invalid(message).param("amount"));
        }
        let refund = self.refund(&intent, amount, params.owned("reason"), set_entries(params, "metadata"));
        Ok(objects::refund(&refund))
    }

    fn refunded_intent(&self, params: &Params) -> Result<PaymentIntent, Refusal> {
        let by_charge = |charge: &str| self.intents.rows().iter().find(|intent| intent.charge == charge);
        if let Some(id) = params.get("payment_intent") {
            let found = self.intents.get(id).cloned();
            return found.ok_or_else(|| Refusal::no_such("payment_intent", id, "payment_intent"));
        }
        let charge = params.get("charge").unwrap_or_default();
        by_charge(charge).cloned().ok_or_else(|| Refusal::no_such("charge", charge, "charge"))
    }
}

/// A hash's entries; one with an empty value is unset.
fn set_entries(params: &Params, group: &str) -> std::collections::BTreeMap<String, String> {
    let mut entries = params.group(group);
    entries.retain(|_, value| !value.is_empty());
    entries
}
