//! Stripe's objects as JSON, in the shape of the recorded ones.

use serde_json::{Value, json};

use super::model::{IntentStatus, PaymentIntent, Refund, Session, SessionStatus};

pub(super) fn session(session: &Session) -> Value {
    let email = session.customer_email.as_deref();
    let complete = session.status == SessionStatus::Complete;
    // Stripe asks for the address on its page when the caller gave none.
    let email = email.or(complete.then_some("customer@example.com"));
    json!({
        "id": session.id,
        "object": "checkout.session",
        "allow_promotion_codes": null,
        "amount_subtotal": session.amount,
        "amount_total": session.amount,
        "automatic_tax": { "enabled": false, "liability": null, "provider": null, "status": null },
        "cancel_url": session.cancel_url,
        "client_reference_id": session.client_reference_id,
        "client_secret": null,
        "created": session.created,
        "currency": session.currency,
        "customer": null,
        "customer_creation": "if_required",
        "customer_details": email.map(|email| json!({
            "address": null, "email": email, "name": null, "phone": null, "tax_exempt": "none", "tax_ids": null,
        })),
        "customer_email": session.customer_email,
        "expires_at": session.expires_at,
        "livemode": false,
        "locale": null,
        "metadata": session.metadata,
        "mode": "payment",
        "payment_intent": session.payment_intent,
        "payment_link": null,
        "payment_method_types": ["card"],
        "payment_status": session.payment_status(),
        "recovered_from": null,
        "setup_intent": null,
        "status": session.status,
        "submit_type": null,
        "subscription": null,
        "success_url": session.success_url,
        "total_details": { "amount_discount": 0, "amount_shipping": 0, "amount_tax": 0 },
        "ui_mode": "hosted_page",
        "url": session.url,
    })
}

pub(super) fn intent(intent: &PaymentIntent) -> Value {
    let received = if intent.status == IntentStatus::Succeeded { intent.amount } else { 0 };
    json!({
        "id": intent.id,
        "object": "payment_intent",
        "amount": intent.amount,
        "amount_capturable": 0,
        "amount_received": received,
        "canceled_at": null,
        "cancellation_reason": null,
        "capture_method": "automatic",
        "confirmation_method": "automatic",
        "created": intent.created,
        "currency": intent.currency,
        "customer": null,
        "description": null,
        "last_payment_error": null,
        "latest_charge": intent.charge,
        "livemode": false,
        "metadata": intent.metadata,
        "next_action": null,
        "payment_method_types": ["card"],
        "receipt_email": null,
        "status": intent.status,
    })
}

pub(super) fn charge(intent: &PaymentIntent, refunded: i64) -> Value {
    let (status, paid) = match intent.status {
        IntentStatus::Processing => ("pending", false),
        IntentStatus::Succeeded => ("succeeded", true),
        IntentStatus::RequiresPaymentMethod => ("failed", false),
    };
    json!({
        "id": intent.charge,
        "object": "charge",
        "amount": intent.amount,
        "amount_captured": if paid { intent.amount } else { 0 },
        "amount_refunded": refunded,
        "captured": paid,
        "created": intent.created,
        "currency": intent.currency,
        "customer": null,
        "disputed": false,
        "failure_code": null,
        "livemode": false,
        "metadata": intent.metadata,
        "paid": paid,
        "payment_intent": intent.id,
        "receipt_email": null,
        "refunded": refunded >= intent.amount,
        "status": status,
    })
}

pub(super) fn refund(refund: &Refund) -> Value {
    let mut object = json!({
        "id": refund.id,
        "object": "refund",
        "amount": refund.amount,
        "balance_transaction": null,
        "charge": refund.charge,
        "created": refund.created,
        "currency": refund.currency,
        "destination_details": { "card": { "type": "refund" }, "type": "card" },
        "metadata": refund.metadata,
        "payment_intent": refund.payment_intent,
        "reason": refund.reason,
        "receipt_number": null,
        "source_transfer_reversal": null,
        "status": refund.status,
        "transfer_reversal": null,
    });
    if let Some(reason) = &refund.failure_reason {
        object["failure_reason"] = json!(reason);
        object["failure_balance_transaction"] = json!(format!("txn_{}", refund.id));
    }
    object
}

pub(super) fn list(path: &str, data: &[Value], has_more: bool) -> Value {
    json!({ "object": "list", "data": data, "has_more": has_more, "url": path })
}

pub(super) fn balance() -> Value {
    let amounts = json!([{ "amount": 0, "currency": "usd", "source_types": { "card": 0 } }]);
    json!({ "object": "balance", "available": amounts, "livemode": false, "pending": amounts })
}

pub(super) fn account() -> Value {
    json!({ "id": "acct_1Double", "object": "account", "charges_enabled": true, "country": "US", "type": "standard" })
}
