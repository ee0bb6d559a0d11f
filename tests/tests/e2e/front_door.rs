//! What ingest takes, what it refuses, and what that leaves behind.

use jiff::Timestamp;
use tests::calendly::{Invitee, SIGNATURE_HEADER, Sender, Signer};
use tests::sandbox::CALENDLY_SIGNING_KEY;
use tests::service::http_client;

use crate::world::World;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../schemas/tests/fixtures/calendly");

fn sender(world: &World) -> Sender {
    Sender::new(&format!("{}/webhooks/calendly", world.sandbox.ingest_url()), CALENDLY_SIGNING_KEY)
}

/// Headers that must not pass for this body, of which the last four are authentic but stale.
fn bad_headers(body: &[u8], now: i64) -> Vec<Option<String>> {
    let signer = Signer::new(CALENDLY_SIGNING_KEY);
    let right = signer.digest(now, body);
    let forged = Signer::new("somebody else's key").digest(now, body);
    let other_body = signer.digest(now, b"{}");
    let at = |then: i64| signer.header(then, body);
    let (upper, odd, half) = (right.to_uppercase(), &right[..63], &right[..32]);
    let mut bad: Vec<Option<String>> = vec![None];
    bad.extend(
        [
            String::new(),
            "garbage".to_owned(),
            right.clone(),
            format!("t={now}"),
            format!("v1={right}"),
            format!("t={now},v1="),
            format!("t=,v1={right}"),
            format!("t={now},v1={forged}"),
            format!("t={now},v1={other_body}"),
            format!("t={now},v1={upper}"),
            format!("t={now},v1={odd}"),
            format!("t={now},v1={half}"),
            format!("t={now},v1={right}00"),
            format!("t={now},v1={right}{right}"),
            format!("t={now}, v1={right}"),
            format!("t= {now},v1={right}"),
            format!("t={now},v1= {right}"),
            format!("t={now} ,v1={right}"),
            format!("t={now},t={now},v1={right}"),
            format!("t={now},v1={right},t={now}"),
            format!("t={now};v1={right}"),
            format!("t={now},v2={right}"),
            format!("T={now},v1={right}"),
            format!("t={now},V1={right}"),
            format!("t=-{now},v1={right}"),
            format!("t=+{now},v1={right}"),
            format!("t={now}.5,v1={right}"),
            format!("t={},v1={right}", now + 1),
            format!("t=99999999999999999999999,v1={right}"),
            format!("t={now},v1={}", "z".repeat(64)),
            format!("t={now},v1={forged},v1={other_body}"),
            at(now - 190),
            at(now - 86_400),
            at(now + 190),
            at(0),
        ]
        .map(Some),
    );
    bad
}

#[tokio::test]
async fn forged_and_malformed_signatures_leave_nothing() {
    let world = World::start("forged").await;
    let sender = sender(&world);
    let body = Invitee::random().created().body();
    let now = Timestamp::now().as_second();
    let bad = bad_headers(&body, now);
    assert!(bad.len() > 30);
    for header in &bad {
        let answer = sender.send_with_header(header.as_deref(), body.as_slice()).await.unwrap();
        assert_eq!(answer, (401, r#"{"error":"Invalid signature"}"#.to_owned()), "{header:?}");
    }
    // Several signatures, of which one is right: and only this one is on the topic.
    let (zeros, right) = ("0".repeat(64), Signer::new(CALENDLY_SIGNING_KEY).digest(now, &body));
    let header = format!("t={now},v1={zeros},v1={right},v0={zeros}");
    assert_eq!(sender.send_with_header(Some(&header), body.as_slice()).await.unwrap().0, 200);
    assert_eq!(world.records("calendly.events").await.len(), 1);
    assert_eq!(world.records("calendly.events.dlq").await.len(), 0);
    let metrics = world.ingest.metrics().await;
    let count = |outcome| metrics.sum("webhook_requests_total", &[("source", "calendly"), ("outcome", outcome)]);
    assert_eq!(count("stale_signature"), 4.0);
    assert_eq!(count("invalid_signature"), f64::from(u32::try_from(bad.len() - 4).unwrap()));
    assert_eq!(count("accepted"), 1.0);
}

#[tokio::test]
async fn late_deliveries_are_taken_when_told_so() {
    let world = World::start_with("late", &[("CALENDLY_LATE_DELIVERIES", "accept")]).await;
    let body = Invitee::random().created().body();
    let header = Signer::new(CALENDLY_SIGNING_KEY).header(Timestamp::now().as_second() - 3600, &body);
    assert_eq!(sender(&world).send_with_header(Some(&header), body.as_slice()).await.unwrap().0, 200);
}

#[tokio::test]
async fn every_fixture_is_published_byte_for_byte() {
    let world = World::start("fixtures").await;
    let mut sent = Vec::new();
    for entry in std::fs::read_dir(FIXTURES).expect("the fixtures are in the repository") {
        let path = entry.unwrap().path();
        let body = std::fs::read_to_string(&path).unwrap();
        let json: serde_json::Value = serde_json::from_str(&body).unwrap();
        if json.get("event").is_some() {
            assert_eq!(world.send_raw(body.as_bytes()).await.0, 200, "{}", path.display());
            sent.push(body);
        }
    }
    assert!(sent.len() >= 9, "{}", sent.len());
    let records = world.records("calendly.events").await;
    let mut published: Vec<String> =
        records.iter().map(|record| schemas::codec::decode_calendly(&record.value).unwrap().payload).collect();
    published.sort_unstable();
    sent.sort_unstable();
    assert_eq!(published, sent);
    for record in &records {
        for header in ["event-id", "event-type", "received-at", "traceparent"] {
            assert!(record.header(header).is_some_and(|value| !value.is_empty()), "{header}");
        }
    }
}

#[tokio::test]
async fn authentic_but_unusable_bodies_are_kept() {
    let world = World::start("quarantine").await;
    let bodies: [&[u8]; 9] = [
        b"",
        b"no json",
        b"[]",
        b"{}",
        br#"{"event":5,"payload":{}}"#,
        br#"{"event":"invitee.created"}"#,
        br#"{"event":"invitee.created","payload":[]}"#,
        br#"{"event":"invitee.created","payload":{"uri":7}}"#,
        b"{\"event\":\"x\xff\",\"payload\":{}}",
    ];
    for body in bodies {
        let answer = world.send_raw(body).await;
        assert_eq!(answer, (400, r#"{"error":"Invalid payload"}"#.to_owned()), "{}", String::from_utf8_lossy(body));
    }
    let kept = world.wait_for_records("calendly.events.dlq", bodies.len()).await;
    for record in &kept {
        assert_eq!(record.header("error-class"), Some("invalid_payload"));
        assert!(bodies.contains(&record.value.as_slice()));
    }
    assert_eq!(world.records("calendly.events").await.len(), 0);
    // An event that we do not know is published all the same, and ignored.
    let unknown = br#"{"event":"meeting_recap.created","payload":{"a":1}}"#;
    assert_eq!(world.send_raw(unknown).await.0, 200);
    world.processed("ignored", 1.0).await;
}

#[tokio::test]
async fn sizes_methods_and_paths() {
    let world = World::start_with("sizes", &[("MAX_BODY_BYTES", "200000")]).await;
    // The longest body that passes, with a name that is in the record twice, goes all the way.
    let invitee = Invitee::random();
    let created = invitee.created();
    let room = 200_000 - created.clone().set("/payload/name", "").body().len();
    let longest = created.clone().set("/payload/name", "n".repeat(room));
    assert_eq!(longest.body().len(), 200_000);
    world.send(&longest).await;
    world.open_session(&invitee).await;
    let too_long = created.set("/payload/name", "n".repeat(room + 1));
    let answer = world.send_raw(&too_long.body()).await;
    assert_eq!(answer, (413, r#"{"error":"Payload too large"}"#.to_owned()));

    let client = http_client();
    let url = world.sandbox.ingest_url();
    let status = async |request: reqwest::RequestBuilder| request.send().await.unwrap().status().as_u16();
    assert_eq!(status(client.get(format!("{url}/webhooks/calendly"))).await, 405);
    assert_eq!(status(client.put(format!("{url}/webhooks/calendly"))).await, 405);
    for path in ["/", "/webhooks", "/webhooks/calendly/", "/webhooks/other", "/metrics", "/healthz", "/readyz"] {
        assert_eq!(status(client.get(format!("{url}{path}"))).await, 404, "{path}");
        assert_eq!(status(client.post(format!("{url}{path}")).header(SIGNATURE_HEADER, "x")).await, 404, "{path}");
    }
}
