//! Checkout sessions: what is accepted, what is refused, how they are listed, how they end.

use std::time::Duration;

use tests::stripe::{API_VERSION, SessionStatus, StripeDouble};

use super::{Client, in_seconds, send, session_form, with, without};

#[tokio::test]
async fn a_session_is_created_as_stripe_creates_it() {
    let double = StripeDouble::start().await;
    let client = Client::of(&double);
    let created = client.create("k1", &session_form("b-1")).await;
    assert_eq!(created.status, 200, "{}", created.body);
    let session = &created.body;
    assert_eq!((&session["status"], &session["payment_status"]), (&"open".into(), &"unpaid".into()));
    assert_eq!((&session["amount_total"], &session["currency"]), (&5000.into(), &"usd".into()));
    assert_eq!(session["metadata"]["booking_id"], "b-1");
    assert!(session["payment_intent"].is_null() && session["url"].is_string());
    let fetched = client.get(&format!("/v1/checkout/sessions/{}", created.id())).await;
    assert_eq!(fetched.body, created.body);
    assert_eq!(client.get("/v1/checkout/sessions/cs_test_none").await.code(), "resource_missing");
}

#[tokio::test]
async fn what_stripe_refuses_is_refused() {
    let double = StripeDouble::start().await;
    let client = Client::of(&double);
    let form = || session_form("b-1");
    let unit = "line_items[0][price_data][unit_amount]";
    let long = "x".repeat(501);
    let cases = [
        (with(form(), "ui_mode", "hosted"), "parameter_unknown", "ui_mode"),
        (with(form(), "line_items[0][price_data][tax]", "1"), "parameter_unknown", "line_items[0][price_data][tax]"),
        (with(form(), "line_items[x][quantity]", "1"), "parameter_unknown", "line_items[x][quantity]"),
        (with(form(), "metadata", "x"), "", "metadata"),
        (without(form(), "mode"), "parameter_missing", "mode"),
        (without(form(), "success_url"), "parameter_missing", "success_url"),
        (without(form(), unit), "parameter_missing", unit),
        (without(form(), "line_items[0][quantity]"), "parameter_missing", "line_items[0][quantity]"),
        (with(form(), unit, "50.00"), "parameter_invalid_integer", unit),
        (with(form(), unit, "49"), "amount_too_small", ""),
        (with(form(), unit, "0"), "amount_too_small", ""),
        (with(form(), "line_items[0][price_data][currency]", "USD"), "", "line_items[0][price_data][currency]"),
        (with(form(), "customer_email", "no.address"), "email_invalid", "customer_email"),
        (with(form(), "customer_email", ""), "parameter_invalid_empty", "customer_email"),
        (with(form(), "success_url", "/done"), "url_invalid", "success_url"),
        (with(form(), "client_reference_id", &long[..201]), "", "client_reference_id"),
        (with(form(), "metadata[a]", &long), "", "metadata[a]"),
        (with(form(), "metadata[a-key-that-is-longer-than-forty-characters]", "x"), "", ""),
        (with(form(), "expires_at", &in_seconds(29 * 60)), "", "expires_at"),
        (with(form(), "expires_at", &in_seconds(24 * 60 * 60 + 60)), "", "expires_at"),
    ];
    for (form, code, param) in cases {
        let answer = client.create("same-key", &form).await;
        let problem = format!("{form:?}\n{}", answer.body);
        assert_eq!((answer.status, answer.kind(), answer.code()), (400, "invalid_request_error", code), "{problem}");
        if !param.is_empty() {
            assert_eq!(answer.body["error"]["param"], param, "{problem}");
        }
    }
    assert!(double.sessions().is_empty());
    let edges = with(with(form(), "expires_at", &in_seconds(30 * 60)), "client_reference_id", &long[..200]);
    // Refused parameters saved nothing, so that the key is still free.
    assert_eq!(client.create("same-key", &edges).await.status, 200);
}

#[tokio::test]
async fn headers_are_checked_first() {
    let double = StripeDouble::start().await;
    let client = Client::of(&double);
    let url = format!("{}/v1/balance", double.url());
    let get = || client.http.get(&url);
    assert_eq!(send(get()).await.unwrap().status, 401);
    assert_eq!(send(get().bearer_auth("sk_test_other")).await.unwrap().status, 401);
    assert_eq!(send(get().bearer_auth(double.secret_key())).await.unwrap().status, 400);
    let old = get().bearer_auth(double.secret_key()).header("Stripe-Version", "2024-06-20");
    assert_eq!(send(old).await.unwrap().status, 400);
    let basic = get().basic_auth(double.secret_key(), Some("")).header("Stripe-Version", API_VERSION);
    assert_eq!(send(basic).await.unwrap().status, 200);
    assert_eq!(client.get("/v1/account").await.body["object"], "account");
    assert_eq!(client.get("/v1/customers").await.status, 404);
    let json = client.request(reqwest::Method::POST, "/v1/refunds").json(&serde_json::json!({ "amount": 1 }));
    assert_eq!(send(json).await.unwrap().status, 400);
    assert_eq!(client.create(&"k".repeat(256), &session_form("b-1")).await.kind(), "idempotency_error");
}

#[tokio::test]
async fn lists_are_newest_first_and_come_in_pages() {
    let double = StripeDouble::start().await;
    let client = Client::of(&double);
    let mut ids = Vec::new();
    for booking in 0..5 {
        ids.push(client.session(&booking.to_string()).await);
    }
    ids.reverse();
    let page = async |query: &str| {
        let answer = client.get(&format!("/v1/checkout/sessions?{query}")).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let data: Vec<String> =
            answer.body["data"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
        (data, answer.body["has_more"].as_bool().unwrap())
    };
    assert_eq!(page("limit=2").await, (ids[..2].to_vec(), true));
    assert_eq!(page(&format!("limit=2&starting_after={}", ids[1])).await, (ids[2..4].to_vec(), true));
    assert_eq!(page(&format!("limit=2&starting_after={}", ids[3])).await, (ids[4..].to_vec(), false));
    assert_eq!(page(&format!("limit=2&ending_before={}", ids[3])).await, (ids[1..3].to_vec(), true));
    double.pay(&ids[0]).unwrap();
    assert_eq!(page("status=complete").await, (ids[..1].to_vec(), false));
    assert_eq!(page("customer_details[email]=someone@example.com").await.0.len(), 5);
    assert_eq!(page("customer_details[email]=other@example.com").await.0.len(), 0);
    assert_eq!(page(&format!("created[gte]={}", in_seconds(5))).await.0.len(), 0);
    assert_eq!(page(&format!("created[gte]={}&created[lt]={}", in_seconds(-60), in_seconds(5))).await.0.len(), 5);
    for refused in ["limit=0", "limit=101", "client_reference_id=1", "status=paid", "starting_after=cs_test_none"] {
        let answer = client.get(&format!("/v1/checkout/sessions?{refused}")).await;
        assert!(matches!(answer.status, 400 | 404), "{refused}: {}", answer.body);
    }
}

#[tokio::test]
async fn only_an_open_session_can_be_expired() {
    let double = StripeDouble::start().await;
    let client = Client::of(&double);
    let (paid, open) = (client.session("b-1").await, client.session("b-2").await);
    double.pay(&paid).unwrap();
    let expire = async |id: &str| client.post(&format!("/v1/checkout/sessions/{id}/expire"), "", &vec![]).await;
    let answer = expire(&open).await;
    assert_eq!((answer.status, &answer.body["status"]), (200, &"expired".into()));
    assert!(answer.body["url"].is_null());
    for (id, status) in [(&open, "expired"), (&paid, "complete")] {
        let answer = expire(id).await;
        assert_eq!((answer.status, answer.kind()), (400, "invalid_request_error"));
        assert!(answer.body["error"]["message"].as_str().unwrap().contains(status));
    }
    assert!(double.pay(&open).is_err());
    assert_eq!(expire("cs_test_none").await.status, 404);
}

#[tokio::test]
async fn sessions_expire_by_the_clock() {
    let double = StripeDouble::start().await;
    let client = Client::of(&double);
    let id = client.session("b-1").await;
    double.advance(Duration::from_mins(59));
    assert_eq!(double.session(&id).unwrap().status, SessionStatus::Open);
    double.advance(Duration::from_mins(1));
    assert_eq!(double.session(&id).unwrap().status, SessionStatus::Expired);
    let told: Vec<_> = double.take_webhooks().into_iter().map(|webhook| webhook.event.kind).collect();
    assert_eq!(told, ["checkout.session.expired"]);
}
