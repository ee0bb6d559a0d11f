//! Payments and refunds: nothing moves twice, nothing is done before it is settled.

use tests::stripe::{RefundMode, RefundStatus, StripeDouble};

use super::{Answer, Client, Form};

async fn paid(double: &StripeDouble, client: &Client, booking: &str) -> String {
    double.pay(&client.session(booking).await).unwrap()
}

fn refund_form(intent: &str) -> Form<'static> {
    vec![
        ("payment_intent", intent.to_owned()),
        ("reason", "requested_by_customer".to_owned()),
        ("metadata[booking_id]", "b-1".to_owned()),
    ]
}

async fn refund(client: &Client, intent: &str, amount: Option<i64>) -> Answer {
    let mut form = refund_form(intent);
    form.extend(amount.map(|amount| ("amount", amount.to_string())));
    client.post("/v1/refunds", "", &form).await
}

fn kinds(double: &StripeDouble) -> Vec<String> {
    double.take_webhooks().into_iter().map(|webhook| webhook.event.kind).collect()
}

#[tokio::test]
async fn a_payment_makes_an_intent() {
    let double = StripeDouble::start().await;
    let client = Client::of(&double);
    let session = client.session("b-1").await;
    let intent = double.pay(&session).unwrap();
    let fetched = client.get(&format!("/v1/payment_intents/{intent}")).await.body;
    assert_eq!((&fetched["status"], &fetched["amount_received"]), (&"succeeded".into(), &5000.into()));
    assert_eq!(fetched["metadata"]["booking_id"], "b-1");
    let path = format!("/v1/checkout/sessions/{session}?expand[]=payment_intent.latest_charge");
    let expanded = client.get(&path).await.body;
    assert_eq!(expanded["payment_intent"]["latest_charge"]["paid"], true);
    let refused = client.get(&format!("/v1/checkout/sessions/{session}?expand[]=nothing")).await;
    assert_eq!(refused.status, 400);
    assert!(double.pay(&session).is_err());
}

#[tokio::test]
async fn delayed_payments_settle_later() {
    let double = StripeDouble::start().await;
    let client = Client::of(&double);
    let (good, bad) = (client.session("good").await, client.session("bad").await);
    let intent = double.pay_async(&good).unwrap();
    double.pay_async(&bad).unwrap();
    let session = client.get(&format!("/v1/checkout/sessions/{good}")).await.body;
    assert_eq!((&session["status"], &session["payment_status"]), (&"complete".into(), &"unpaid".into()));
    assert_eq!(refund(&client, &intent, None).await.status, 400, "nothing to refund yet");
    double.settle_async(&good, true).unwrap();
    double.settle_async(&bad, false).unwrap();
    assert!(double.settle_async(&good, true).is_err());
    let summary = double.summary();
    assert_eq!((summary["good"].paid, summary["bad"].paid), (5000, 0));
    let told = kinds(&double);
    assert_eq!(told[2..], ["checkout.session.async_payment_succeeded", "checkout.session.async_payment_failed"]);
}

#[tokio::test]
async fn a_payment_is_refunded_at_most_once() {
    let double = StripeDouble::start().await;
    let client = Client::of(&double);
    let intent = paid(&double, &client, "b-1").await;
    double.take_webhooks();
    assert_eq!(refund(&client, &intent, Some(5001)).await.body["error"]["param"], "amount");
    let part = refund(&client, &intent, Some(2000)).await;
    assert_eq!((part.status, &part.body["status"]), (200, &"succeeded".into()));
    let rest = refund(&client, &intent, None).await;
    assert_eq!((rest.status, &rest.body["amount"]), (200, &3000.into()));
    assert_eq!(refund(&client, &intent, None).await.code(), "charge_already_refunded");
    assert_eq!(refund(&client, "pi_none", None).await.status, 404);
    assert_eq!(double.summary()["b-1"].net(), 0);
    let charges: Vec<_> =
        double.take_webhooks().into_iter().filter(|one| one.event.kind == "charge.refunded").collect();
    let refunded = |at: usize| {
        let event: serde_json::Value = serde_json::from_slice(&charges[at].body).unwrap();
        (event["data"]["object"]["amount_refunded"].clone(), event["data"]["object"]["refunded"].clone())
    };
    assert_eq!(refunded(0), (2000.into(), false.into()));
    assert_eq!(refunded(1), (5000.into(), true.into()));
    let list = client.get(&format!("/v1/refunds?payment_intent={intent}&limit=1")).await.body;
    assert_eq!((&list["data"][0]["id"], &list["has_more"]), (&rest.body["id"], &true.into()));
    let one = client.get(&format!("/v1/refunds/{}", part.id())).await;
    assert_eq!(one.body["metadata"]["booking_id"], "b-1");
}

#[tokio::test]
async fn a_pending_refund_settles_when_told() {
    let double = StripeDouble::start().await;
    let client = Client::of(&double);
    let intent = paid(&double, &client, "b-1").await;
    double.refund_mode(RefundMode::Pending);
    kinds(&double);
    let id = refund(&client, &intent, None).await.id();
    assert_eq!(kinds(&double), ["refund.created"]);
    assert_eq!((double.summary()["b-1"].refunded, double.summary()["b-1"].refund_pending), (0, 5000));
    assert_eq!(refund(&client, &intent, None).await.code(), "charge_already_refunded");
    double.settle_refund(&id, RefundStatus::Failed).unwrap();
    assert_eq!(kinds(&double), ["refund.updated", "refund.failed"]);
    let again = refund(&client, &intent, None).await.id();
    double.settle_refund(&again, RefundStatus::Succeeded).unwrap();
    assert_eq!(kinds(&double), ["refund.created", "refund.updated", "charge.refunded"]);
    double.fail_refund_after_success(&again).unwrap();
    assert!(double.settle_refund(&again, RefundStatus::Succeeded).is_err());
    assert_eq!(double.summary()["b-1"].net(), 5000);
}

#[tokio::test]
async fn the_dashboard_refunds_a_part() {
    let double = StripeDouble::start().await;
    let client = Client::of(&double);
    let intent = paid(&double, &client, "b-1").await;
    kinds(&double);
    let id = double.dashboard_refund(&intent, 1000).unwrap();
    assert_eq!(kinds(&double), ["refund.created", "charge.refunded", "refund.updated"]);
    assert_eq!(client.get(&format!("/v1/refunds/{id}")).await.body["metadata"], serde_json::json!({}));
    assert!(double.dashboard_refund(&intent, 4001).is_err());
    assert_eq!(double.summary()["b-1"].net(), 4000);
}
