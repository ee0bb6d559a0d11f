//! Webhooks: signed, repeated until taken, doubled and shuffled on demand; and the controls over HTTP.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::{Value, json};
use tests::stripe::{Options, StripeDouble, signature};

use super::{Client, session_form};

/// Bodies and signatures received, and how many deliveries are still to be refused.
#[derive(Clone, Default)]
struct Receiver {
    taken: Arc<Mutex<Vec<(String, String)>>>,
    refuse: Arc<Mutex<u32>>,
}

async fn receive(State(receiver): State<Receiver>, headers: HeaderMap, body: String) -> StatusCode {
    let mut refuse = receiver.refuse.lock().unwrap();
    if *refuse > 0 {
        *refuse -= 1;
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    let signature = headers["stripe-signature"].to_str().unwrap().to_owned();
    receiver.taken.lock().unwrap().push((signature, body));
    StatusCode::OK
}

async fn receiver() -> (Receiver, String) {
    let receiver = Receiver::default();
    let app = Router::new().route("/hook", post(receive)).with_state(receiver.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (receiver, url)
}

fn assert_signed(secret: &str, header: &str, body: &str) {
    let (time, given) = header.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
    let time: i64 = time.parse().unwrap();
    assert!((jiff::Timestamp::now().as_second() - time).abs() < 60);
    assert_eq!(given, signature::digest(secret, time, body.as_bytes()));
}

#[test]
fn the_signature_is_the_known_one() {
    // HMAC-SHA256("whsec_test", "1700000000.{}"), computed elsewhere.
    assert_eq!(signature::digest("whsec_test", 1_700_000_000, b"{}").len(), 64);
    assert_eq!(signature::digest("whsec_test", 1_700_000_000, b"{}"), KNOWN);
}

const KNOWN: &str = "35495024f4ef3f94e5a93e22221544c4b75e9a42300cd965ab81cb85cd994e91";

#[tokio::test]
async fn webhooks_are_delivered_signed_until_taken() {
    let (receiver, url) = receiver().await;
    *receiver.refuse.lock().unwrap() = 2;
    let double = StripeDouble::start_with(Options { webhook_url: Some(url), ..Options::default() }).await;
    let client = Client::of(&double);
    let session = client.session("b-1").await;
    double.pay(&session).unwrap();
    assert!(double.webhooks_delivered(Duration::from_secs(5)).await);
    let taken = receiver.taken.lock().unwrap();
    assert_eq!(taken.len(), 1);
    let (header, body) = &taken[0];
    assert_signed(double.webhook_secret(), header, body);
    let event: Value = serde_json::from_str(body).unwrap();
    assert_eq!((&event["object"], &event["type"]), (&"event".into(), &"checkout.session.completed".into()));
    assert_eq!(event["data"]["object"]["id"], session);
    assert_eq!(event["data"]["object"]["payment_status"], "paid");
}

#[tokio::test]
async fn webhooks_can_be_taken_doubled_and_shuffled() {
    let double = StripeDouble::start().await;
    let client = Client::of(&double);
    double.deliver_duplicates(1);
    double.shuffle(7);
    let mut paid = Vec::new();
    for booking in 0..10 {
        let session = client.session(&booking.to_string()).await;
        double.pay(&session).unwrap();
        paid.push(session);
    }
    let webhooks = double.take_webhooks();
    assert_eq!(webhooks.len(), 20);
    let mut seen: Vec<String> = webhooks.iter().map(|webhook| webhook.event.object.clone()).collect();
    let in_order = paid.iter().flat_map(|id| [id.clone(), id.clone()]).collect::<Vec<_>>();
    assert_ne!(seen, in_order);
    seen.sort_by_key(|id| paid.iter().position(|other| other == id));
    assert_eq!(seen, in_order);
    assert_signed(double.webhook_secret(), &webhooks[0].signature, std::str::from_utf8(&webhooks[0].body).unwrap());
    assert!(double.take_webhooks().is_empty());
}

#[tokio::test]
async fn the_controls_work_over_http() {
    let double = StripeDouble::start().await;
    let client = Client::of(&double);
    let act = async |action: &str, body: Value| {
        let url = format!("{}/_double/{action}", double.url());
        let response = client.http.post(url).json(&body).send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    let injection = json!({ "endpoint": "create_session", "fault": { "kind": "status", "status": 503 }, "times": 1 });
    assert_eq!(act("inject", injection).await.0, 200);
    assert_eq!(client.create("k", &session_form("b-1")).await.status, 503);
    let session = client.create("k", &session_form("b-1")).await;
    let page = client.http.get(session.body["url"].as_str().unwrap()).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("30 Minute Meeting") && page.contains("<button>"));
    assert_eq!(act("refund_mode", json!({ "mode": "pending" })).await.0, 200);
    let (status, paid) = act("pay", json!({ "booking": "b-1" })).await;
    assert_eq!((status, &paid["session"]), (200, &session.id().into()));
    let refunded = act("dashboard_refund", json!({ "payment_intent": paid["payment_intent"], "amount": 1000 })).await;
    let settled = json!({ "refund": refunded.1["refund"], "status": "succeeded" });
    assert_eq!(act("settle_refund", settled).await.0, 200);
    assert_eq!(act("pay", json!({ "booking": "b-1" })).await.0, 400);
    assert_eq!(act("nonsense", json!({})).await.0, 400);
    let state: Value =
        client.http.get(format!("{}/_double/state", double.url())).send().await.unwrap().json().await.unwrap();
    assert_eq!(state["summary"]["b-1"]["paid"], 5000);
    assert_eq!(state["summary"]["b-1"]["refunded"], 1000);
    assert_eq!(state["requests"].as_array().unwrap().len(), 2);
}
