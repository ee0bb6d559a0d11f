//! Injected failures do what they say, once each, in order.

use std::time::Duration;

use tests::stripe::{Endpoint, Fault, Injection, StripeDouble};

use super::{Client, eventually, session_form, with};

#[tokio::test]
async fn an_answer_before_execution_is_not_saved() {
    let double = StripeDouble::start().await;
    let client = Client::of(&double);
    double.inject(Endpoint::CreateSession, Fault::rate_limited(Some(7)));
    double.inject(Endpoint::CreateSession, Fault::status_should_retry(503, true));
    double.inject(Endpoint::CreateSession, Fault::status(402));
    let form = session_form("b-1");
    let limited = client.create("k", &form).await;
    assert_eq!((limited.status, limited.code()), (429, "rate_limit"));
    assert_eq!(limited.headers["retry-after"], "7");
    let unavailable = client.create("k", &form).await;
    assert_eq!((unavailable.status, unavailable.kind()), (503, "api_error"));
    assert_eq!(unavailable.headers["stripe-should-retry"], "true");
    let declined = client.create("k", &form).await;
    assert_eq!((declined.status, declined.code()), (402, "card_declined"));
    let done = client.create("k", &form).await;
    assert!(done.status == 200 && !done.replayed);
}

#[tokio::test]
async fn a_500_is_saved_whether_executed_or_not() {
    for (fault, sessions) in [(Fault::ExecuteThen500, 1), (Fault::Saved500, 0)] {
        let double = StripeDouble::start().await;
        let client = Client::of(&double);
        double.inject(Endpoint::CreateSession, fault);
        let form = session_form("b-1");
        for replayed in [false, true, true] {
            let answer = client.create("k", &form).await;
            assert_eq!((answer.status, answer.kind(), answer.replayed), (500, "api_error", replayed));
        }
        assert_eq!(double.sessions().len(), sessions);
        assert_eq!(client.create("k2", &form).await.status, 200);
    }
}

#[tokio::test]
async fn a_cut_connection_is_no_answer() {
    let double = StripeDouble::start().await;
    let client = Client::of(&double);
    let form = session_form("b-1");
    double.inject(Endpoint::CreateSession, Fault::DropBefore);
    assert!(client.try_post("/v1/checkout/sessions", "k", &form).await.is_err());
    assert_eq!(double.sessions().len(), 0);
    double.inject(Endpoint::CreateSession, Fault::ExecuteThenDrop);
    assert!(client.try_post("/v1/checkout/sessions", "k", &form).await.is_err());
    assert_eq!(double.sessions().len(), 1);
    let answer = client.create("k", &form).await;
    assert!(answer.status == 200 && answer.replayed);
    double.go_down();
    assert!(client.try_post("/v1/checkout/sessions", "k", &form).await.is_err());
    double.clear_faults();
    assert_eq!(client.get("/v1/balance").await.status, 200);
    assert_eq!(double.requests().iter().filter(|request| request.status.is_none()).count(), 3);
}

#[tokio::test]
async fn a_held_back_answer_was_executed_all_the_same() {
    let double = StripeDouble::start().await;
    let client = Client::of(&double);
    let form = session_form("b-1");
    double.inject(Endpoint::CreateSession, Fault::ExecuteThenHang);
    let given_up = {
        let request = client.try_post("/v1/checkout/sessions", "k", &form);
        tokio::time::timeout(Duration::from_millis(200), request).await
    };
    assert!(given_up.is_err());
    assert_eq!(double.sessions().len(), 1);
    eventually(|| double.hanging() == 0).await;
    assert!(client.create("k", &form).await.replayed);
}

#[tokio::test]
async fn a_request_whose_client_is_gone_executes_later() {
    let double = StripeDouble::start().await;
    let client = Client::of(&double);
    let form = session_form("b-1");
    double.inject(Endpoint::CreateSession, Fault::HangThenExecute);
    let request = client.try_post("/v1/checkout/sessions", "k", &form);
    assert!(tokio::time::timeout(Duration::from_millis(200), request).await.is_err());
    assert_eq!(double.sessions().len(), 0);
    double.release();
    eventually(|| double.sessions().len() == 1).await;
    assert!(client.create("k", &form).await.replayed);
}

#[tokio::test]
async fn faults_can_be_matched_and_permanent() {
    let double = StripeDouble::start().await;
    let client = Client::of(&double);
    let bad = Injection::on(Endpoint::CreateSession, Fault::status_with_code(400, "parameter_invalid"));
    double.inject_with(bad.param("customer_email", "bad@example.com").always());
    let slow = Injection::any(Fault::delay(Duration::from_millis(1)));
    double.inject_with(slow.when(|params| params.get("mode").is_some()).times(2));
    for _ in 0..3 {
        let refused = with(session_form("b-1"), "customer_email", "bad@example.com");
        assert_eq!(client.create("", &refused).await.code(), "parameter_invalid");
        assert_eq!(client.create("", &session_form("b-2")).await.status, 200);
    }
    assert_eq!(double.faults_left(), 1);
    double.clear_faults_of(Endpoint::CreateSession);
    assert_eq!(double.faults_left(), 0);
}

#[tokio::test]
async fn the_customer_can_pay_just_before_the_session_is_expired() {
    let double = StripeDouble::start().await;
    let client = Client::of(&double);
    let id = client.session("b-1").await;
    double.inject(Endpoint::ExpireSession, Fault::PayFirst);
    let answer = client.post(&format!("/v1/checkout/sessions/{id}/expire"), "k", &vec![]).await;
    assert_eq!(answer.status, 400, "{}", answer.body);
    assert_eq!(client.get(&format!("/v1/checkout/sessions/{id}")).await.body["payment_status"], "paid");
}

#[tokio::test]
async fn the_rate_is_limited() {
    let double = StripeDouble::start().await;
    let client = Client::of(&double);
    double.limit_rate(Some(5));
    let mut limited = 0;
    for _ in 0..10 {
        limited += usize::from(client.get("/v1/balance").await.status == 429);
    }
    assert_eq!(limited, 5);
}
