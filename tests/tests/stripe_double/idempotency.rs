//! Idempotency keys: what is saved, what is replayed, what is refused.

use std::time::Duration;

use tests::stripe::{Endpoint, Fault, StripeDouble};

use super::{Client, eventually, session_form, with};

#[tokio::test]
async fn the_first_answer_is_replayed() {
    let double = StripeDouble::start().await;
    let client = Client::of(&double);
    let form = session_form("b-1");
    let first = client.create("k", &form).await;
    let mut shuffled = form.clone();
    shuffled.reverse();
    let second = client.create("k", &shuffled).await;
    assert!(!first.replayed && second.replayed);
    assert_eq!(first.body, second.body);
    assert_ne!(first.headers["request-id"], second.headers["request-id"]);
    assert_eq!((double.sessions().len(), double.executions(Endpoint::CreateSession)), (1, 1));
    // A replay tells what was, not what is.
    double.pay(&first.id()).unwrap();
    assert_eq!(client.create("k", &form).await.body["status"], "open");
}

#[tokio::test]
async fn another_use_of_a_key_is_refused() {
    let double = StripeDouble::start().await;
    let client = Client::of(&double);
    let form = session_form("b-1");
    let id = client.create("k", &form).await.id();
    let other = client.create("k", &with(form, "client_reference_id", "b-2")).await;
    assert_eq!((other.status, other.kind(), other.code()), (400, "idempotency_error", ""));
    let fixture = "Keys for idempotent requests can only be used with the same parameters they were first used with. \
                   Try using a key other than 'k' if you meant to execute a different request.";
    assert_eq!(other.body["error"]["message"], fixture);
    let elsewhere = client.post(&format!("/v1/checkout/sessions/{id}/expire"), "k", &vec![]).await;
    assert_eq!((elsewhere.status, elsewhere.kind()), (400, "idempotency_error"));
}

#[tokio::test]
async fn keys_are_forgotten_after_a_day_or_when_told() {
    let double = StripeDouble::start().await;
    let client = Client::of(&double);
    let form = |key: &str| vec![("payment_intent", key.to_owned())];
    let post = async || client.post("/v1/refunds", "k", &form("pi_none")).await;
    assert!(!post().await.replayed);
    assert!(post().await.replayed, "a refusal after execution began is saved too");
    double.advance(Duration::from_hours(23));
    assert!(post().await.replayed);
    double.advance(Duration::from_hours(1));
    assert!(!post().await.replayed);
    double.forget_idempotency_keys();
    assert!(!post().await.replayed);
}

#[tokio::test]
async fn a_replay_does_not_look_at_the_clock_again() {
    let double = StripeDouble::start().await;
    let client = Client::of(&double);
    let form = session_form("b-1");
    let first = client.create("k", &form).await;
    double.advance(Duration::from_mins(45));
    assert_eq!(client.create("fresh", &form).await.status, 400, "expires_at is too near by now");
    assert_eq!(client.create("k", &form).await.body, first.body);
}

#[tokio::test]
async fn a_key_in_use_is_a_conflict() {
    let double = StripeDouble::start().await;
    let client = Client::of(&double);
    double.inject(Endpoint::CreateSession, Fault::HangThenExecute);
    let form = session_form("b-1");
    let slow = tokio::spawn({
        let (client, form) = (client.clone(), form.clone());
        async move { client.create("k", &form).await }
    });
    eventually(|| double.hanging() == 1).await;
    let conflict = client.create("k", &form).await;
    assert_eq!(
        (conflict.status, conflict.kind(), conflict.code()),
        (409, "idempotency_error", "idempotency_key_in_use")
    );
    double.release();
    let first = slow.await.unwrap();
    assert_eq!(client.create("k", &form).await.body, first.body);
    assert_eq!(double.sessions().len(), 1);
}

#[tokio::test]
async fn many_at_once_execute_once() {
    let double = StripeDouble::start().await;
    let client = Client::of(&double);
    let form = session_form("b-1");
    let requests: Vec<_> = (0..32)
        .map(|_| {
            let (client, form) = (client.clone(), form.clone());
            tokio::spawn(async move { client.create("k", &form).await.status })
        })
        .collect();
    for request in requests {
        assert!(matches!(request.await.unwrap(), 200 | 409));
    }
    assert_eq!((double.sessions().len(), double.executions(Endpoint::CreateSession)), (1, 1));
}
