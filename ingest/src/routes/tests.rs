//! The contract's table of requests and answers, as far as it goes without a broker.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use jiff::Timestamp;
use runtime::env::Env;
use runtime::health::Health;
use runtime::kafka::Producer;
use schemas::topics::Topics;

use super::*;
use crate::publish::{Durable, Link};
use crate::signature::{probe, tests::sign};
use crate::spool::Spool;

const KEY: &str = "key";
const SECRET: &str = "whsec";
const EVENT: &[u8] = br#"{"event":"invitee.created","payload":{"uri":"https://api.calendly.com/x"}}"#;

/// Ingest's routes in front of a broker that is not there.
fn routes(more: &[(&str, &str)]) -> TowerToHyperService<Router> {
    // The discard port: nothing listens there.
    let basis = [("KAFKA_BROKERS", "127.0.0.1:9"), ("CALENDLY_SIGNING_KEYS", KEY), ("MAX_BODY_BYTES", "100")];
    let config = Config::from_env(&Env::from_pairs(basis.iter().chain(more).copied())).unwrap();
    let producer = Producer::new(&config.kafka, Duration::from_millis(100)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let health = Health::new().component("spool");
    let (spool, _) = Spool::open(dir.path(), config.spool_max_bytes, health).unwrap();
    let (link, budget) = (Link::default(), Duration::from_millis(20));
    let durable = Durable { producer, spool, link, budget, framings: runtime::registry::Framings::default() };
    let publisher = Publisher::new(durable, Topics::new("", &config.ladder));
    TowerToHyperService::new(router(&config, Verifiers::new(&config), &publisher))
}

async fn answer(routes: &TowerToHyperService<Router>, request: Request<Body>) -> (StatusCode, String) {
    let response = routes.call(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

fn post(path: &str, header: (&str, String), body: &[u8]) -> Request<Body> {
    Request::post(path).header(header.0, header.1).body(Body::from(body.to_vec())).unwrap()
}

fn calendly(key: &str, age: i64, body: &[u8]) -> (&'static str, String) {
    let time = (Timestamp::now().as_second() - age).to_string();
    ("calendly-webhook-signature", format!("t={time},v1={}", sign(key, &time, body)))
}

fn stripe(key: &str, body: &[u8]) -> (&'static str, String) {
    ("stripe-signature", calendly(key, 0, body).1)
}

const INVALID: &str = r#"{"error":"Invalid signature"}"#;
const UNAVAILABLE: &str = r#"{"error":"Temporarily unavailable"}"#;

#[tokio::test]
async fn forged_and_stale_deliveries_are_refused_alike() {
    let routes = routes(&[]);
    for header in [
        ("x-other", String::new()),
        ("calendly-webhook-signature", String::new()),
        calendly("other", 0, EVENT),
        calendly(KEY, 0, b"other"),
        calendly(KEY, 300, EVENT),
        calendly(KEY, -300, EVENT),
        stripe(KEY, EVENT),
    ] {
        let shown = format!("{header:?}");
        let answered = answer(&routes, post("/webhooks/calendly", header, EVENT)).await;
        assert_eq!(answered, (StatusCode::UNAUTHORIZED, INVALID.to_owned()), "{shown}");
    }
}

#[tokio::test]
async fn what_only_the_spool_has_is_answered_as_usual() {
    let routes = routes(&[("STRIPE_WEBHOOK_SECRETS", SECRET)]);
    let stripe_event = br#"{"id":"evt_1","type":"refund.updated"}"#;
    let success = (StatusCode::OK, r#"{"success":true}"#.to_owned());
    let calendly_answer = answer(&routes, post("/webhooks/calendly", calendly(KEY, 0, EVENT), EVENT)).await;
    assert_eq!(calendly_answer, success);
    let stripe_answer = answer(&routes, post("/webhooks/stripe", stripe(SECRET, stripe_event), stripe_event)).await;
    assert_eq!(stripe_answer, success);
    let unusable = answer(&routes, post("/webhooks/calendly", calendly(KEY, 0, b"{}"), b"{}")).await;
    assert_eq!(unusable, (StatusCode::BAD_REQUEST, r#"{"error":"Invalid payload"}"#.to_owned()));
}

#[tokio::test]
async fn what_is_durable_nowhere_is_not_answered_with_success() {
    let routes = routes(&[("STRIPE_WEBHOOK_SECRETS", SECRET), ("SPOOL_MAX_BYTES", "10")]);
    let stripe_event = br#"{"id":"evt_1","type":"refund.updated"}"#;
    let answers = futures_util::future::join_all([
        answer(&routes, post("/webhooks/calendly", calendly(KEY, 0, EVENT), EVENT)),
        // The quarantine is durable too, or there is no 400.
        answer(&routes, post("/webhooks/calendly", calendly(KEY, 0, b"{}"), b"{}")),
        answer(&routes, post("/webhooks/stripe", stripe(SECRET, stripe_event), stripe_event)),
    ]);
    for answered in answers.await {
        assert_eq!(answered, (StatusCode::SERVICE_UNAVAILABLE, UNAVAILABLE.to_owned()));
    }
}

#[tokio::test]
async fn a_late_delivery_counts_as_authentic_when_accepted() {
    let routes = routes(&[("CALENDLY_LATE_DELIVERIES", "accept"), ("STRIPE_WEBHOOK_SECRETS", SECRET)]);
    let late = post("/webhooks/calendly", calendly(KEY, 3600, EVENT), EVENT);
    assert_eq!(answer(&routes, late).await.0, StatusCode::OK);
    let early = post("/webhooks/calendly", calendly(KEY, -3600, EVENT), EVENT);
    assert_eq!(answer(&routes, early).await.0, StatusCode::UNAUTHORIZED);
    let stripe_late = post("/webhooks/stripe", ("stripe-signature", calendly(SECRET, 3600, EVENT).1), EVENT);
    assert_eq!(answer(&routes, stripe_late).await.0, StatusCode::UNAUTHORIZED);
}

/// Nothing can be made durable here, so whoever is answered 200 was not published.
#[tokio::test]
async fn a_probe_is_judged_like_a_delivery_and_is_none() {
    let nowhere =
        [("STRIPE_WEBHOOK_SECRETS", SECRET), ("SPOOL_MAX_BYTES", "10"), ("CALENDLY_LATE_DELIVERIES", "accept")];
    let routes = routes(&nowhere);
    let probe = |key: &str, age: i64, body: &[u8]| {
        let time = Timestamp::now().as_second() - age;
        (probe::HEADER, probe::sign(&key.into(), time, body).unwrap())
    };
    for (path, key) in [("/webhooks/calendly", KEY), ("/webhooks/stripe", SECRET)] {
        let passed = answer(&routes, post(path, probe(key, 0, EVENT), EVENT)).await;
        assert_eq!(passed, (StatusCode::OK, probe::ANSWER.to_owned()), "{path}");
        let late = answer(&routes, post(path, probe(key, 300, EVENT), EVENT)).await;
        assert_eq!(late, (StatusCode::UNAUTHORIZED, INVALID.to_owned()), "{path}");
        let calendlys = (probe::HEADER, calendly(key, 0, EVENT).1);
        for (name, header) in [("another key", probe("other", 0, EVENT)), ("a delivery's signature", calendlys)] {
            assert_eq!(answer(&routes, post(path, header, EVENT)).await.0, StatusCode::UNAUTHORIZED, "{path}: {name}");
        }
    }
    // A probe's signature is none of a delivery, and a delivery stays one with a probe's header beside its own.
    let as_delivery = ("calendly-webhook-signature", probe(KEY, 0, EVENT).1);
    assert_eq!(answer(&routes, post("/webhooks/calendly", as_delivery, EVENT)).await.0, StatusCode::UNAUTHORIZED);
    let (name, value) = probe(KEY, 0, EVENT);
    let mut both = post("/webhooks/calendly", calendly(KEY, 0, EVENT), EVENT);
    both.headers_mut().insert(name, value.parse().unwrap());
    assert_eq!(answer(&routes, both).await.0, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn the_largest_body_passes_and_one_byte_more_does_not() {
    let routes = routes(&[]);
    let (largest, larger) = ([b'x'; 100], [b'x'; 101]);
    let passed = answer(&routes, post("/webhooks/calendly", calendly("other", 0, &largest), &largest)).await;
    assert_eq!(passed.0, StatusCode::UNAUTHORIZED);
    let refused = answer(&routes, post("/webhooks/calendly", calendly(KEY, 0, &larger), &larger)).await;
    assert_eq!(refused, (StatusCode::PAYLOAD_TOO_LARGE, r#"{"error":"Payload too large"}"#.to_owned()));
}

#[tokio::test]
async fn other_methods_and_paths() {
    let routes = routes(&[]);
    for method in [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
        let request = Request::builder().method(&method).uri("/webhooks/calendly").body(Body::empty()).unwrap();
        assert_eq!(answer(&routes, request).await.0, StatusCode::METHOD_NOT_ALLOWED, "{method}");
    }
    for path in ["/", "/webhooks", "/webhooks/calendly/", "/webhooks/other", "/webhooks/stripe", "/metrics", "/healthz"]
    {
        let request = post(path, calendly(KEY, 0, EVENT), EVENT);
        assert_eq!(answer(&routes, request).await.0, StatusCode::NOT_FOUND, "{path}");
    }
}
