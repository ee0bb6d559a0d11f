//! `calctl dlq`, as an operator runs it: a process, on what the services left in the DLQ.

use std::collections::{BTreeMap, HashSet};
use std::process::{Command, Stdio};
use std::time::Duration;

use jiff::Timestamp;
use schemas::headers::{EventHeaders, Headers, RetryHeaders};
use schemas::{ErrorClass, calendly, codec};
use serde_json::Value;
use tests::calendly::{Delivery, Invitee};
use tests::kafka::produce;
use tests::process::{Proc, Signal};
use tests::sandbox::Env;
use tests::stripe::{Endpoint, Fault, Injection};
use tests::{Binary, run_calctl};

use crate::world::{PATIENCE, World};

/// Runs calctl, expects it to succeed, and reads its JSON.
async fn json(world: &World, args: &[&str]) -> Vec<Value> {
    let output = run_calctl(&[args, &["--output", "json"]].concat(), &world.env).await;
    assert!(output.status.success(), "{args:?}: {output:?}");
    assert!(output.stderr.is_empty(), "nothing is said where nobody sits: {output:?}");
    serde_json::from_slice(&output.stdout).expect("a bare array")
}

async fn text(env: &Env, args: &[&str]) -> String {
    let output = run_calctl(args, env).await;
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

async fn fails(env: &Env, args: &[&str], code: i32, why: &str) {
    let output = run_calctl(args, env).await;
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
    assert!(stderr.contains(why), "{args:?}: {stderr}");
}

fn actions(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["action"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn dead_letters_are_listed_and_shown() {
    let world = World::start("dlq-list").await;
    world.stripe.inject(Endpoint::CreateSession, Fault::status_with_code(400, "url_invalid"));
    let invitee = Invitee::random();
    world.send(&invitee.created()).await;
    let dead = world.wait_for_records("calendly.events.dlq", 1).await;
    let id = dead[0].header("event-id").unwrap();
    let body = br#"{"event":"invitee.created","payload":{"name":"Eve \u001b[31m"}}"#;
    assert_eq!(world.send_raw(body).await.0, 400);
    world.wait_for_records("calendly.events.dlq", 2).await;

    let rows = json(&world, &["dlq", "list"]).await;
    assert_eq!(rows.len(), 2, "oldest first");
    let row = &rows[0];
    assert_eq!((row["event_id"].as_str(), row["event_type"].as_str()), (Some(id), Some("invitee.created")));
    assert_eq!((row["error_class"].as_str(), row["retry_attempt"].as_u64()), (Some("permanent"), Some(0)));
    assert_eq!(row["error"].as_str(), dead[0].header("error"));
    assert_eq!(row["origin_topic"].as_str(), Some(world.sandbox.topic("calendly.events").as_str()));
    assert_eq!(row["origin_offset"].to_string(), dead[0].header("origin-offset").unwrap());
    assert_eq!((row["offset"].as_i64(), row["replay_count"].as_i64()), (Some(dead[0].offset), Some(0)));
    assert_eq!(
        row["failed_at"].as_str().unwrap().parse::<Timestamp>().ok(),
        dead[0].header("failed-at").unwrap().parse().ok()
    );
    assert_eq!(
        (rows[1]["error_class"].as_str(), rows[1]["origin_offset"].as_i64()),
        (Some("invalid_payload"), Some(-1))
    );

    let later = Timestamp::now().to_string();
    for (filter, count) in [
        (&["--event-id", id][..], 1),
        (&["--error-class", "invalid_payload"], 1),
        (&["--error-class", "exhausted"], 0),
        (&["--error-class", "permanent", "--error-class", "invalid_payload"], 2),
        (&["--event-type", "invitee.created"], 2),
        (&["--event-type", "invitee.canceled"], 0),
        (&["--since", "1h"], 2),
        (&["--since", &later], 0),
        (&["--limit", "1"], 1),
    ] {
        assert_eq!(json(&world, &[&["dlq", "list"], filter].concat()).await.len(), count, "{filter:?}");
    }
    let table = text(&world.env, &["dlq", "list"]).await;
    assert_eq!(table.lines().count(), 3, "{table}");
    assert!(table.contains(id) && !table.contains(&invitee.email), "{table}");

    let shown = json(&world, &["dlq", "show", id]).await;
    assert_eq!(shown[0]["event"]["payload"]["payload"]["email"], invitee.email.as_str());
    assert_eq!(shown[0]["event"]["invitee"]["uri"], invitee.uri.as_str());
    assert_eq!(shown[0]["headers"]["error-class"], "permanent");
    let raw = json(&world, &["dlq", "show", rows[1]["event_id"].as_str().unwrap()]).await;
    assert_eq!(raw[0]["body"].as_str(), str::from_utf8(body).ok());
    let page = text(&world.env, &["dlq", "show", id]).await;
    assert!(page.contains(&invitee.email) && page.contains("error-class"), "{page}");

    fails(&world.env, &["dlq", "show", "nothing"], 1, "nothing").await;
    fails(&world.env, &["dlq", "replay", "--event-id", "nothing"], 1, "nothing").await;
    for wrong in [&["--rate", "0"][..], &["--since", "yesterday"], &["--error-class", "odd"], &["--limit", "0"]] {
        fails(&world.env, &[&["dlq", "replay"], wrong].concat(), 2, wrong[0]).await;
    }
    let mut elsewhere = world.env.clone();
    elsewhere.insert("TOPIC_PREFIX".to_owned(), "nobody.".to_owned());
    fails(&elsewhere, &["dlq", "list"], 1, "nobody.calendly.events.dlq does not exist").await;
}

#[tokio::test]
async fn a_replayed_letter_is_tried_again_once_and_stays_in_the_dlq() {
    let world = World::start("dlq-replay").await;
    let refusal = Fault::status_with_code(400, "url_invalid");
    world.stripe.inject_with(Injection::on(Endpoint::CreateSession, refusal).always());
    let invitee = Invitee::random();
    world.send(&invitee.created()).await;
    let first = world.wait_for_records("calendly.events.dlq", 1).await.remove(0);
    let id = first.header("event-id").unwrap();
    assert_eq!(world.send_raw(b"{}").await.0, 400);

    let rows = json(&world, &["dlq", "replay", "--dry-run"]).await;
    assert_eq!(actions(&rows), ["replay", "skip"]);
    assert_eq!(rows[0]["topic"].as_str(), Some(world.sandbox.topic("calendly.events.due").as_str()));
    assert!(rows[1]["reason"].as_str().unwrap().contains("still no event"), "{rows:?}");
    assert_eq!(world.records("calendly.events.due").await.len(), 0, "a dry run sends nothing");

    // The cause is still there: it dies once more, and tells that it has been back.
    let rows = json(&world, &["dlq", "replay", "--event-id", id, "--by", "ada@ops"]).await;
    assert_eq!((actions(&rows), &rows[0]["done"]), (vec!["replay"], &Value::Bool(true)));
    let second = world.wait_for_records("calendly.events.dlq", 3).await.into_iter();
    let second = second.max_by_key(|letter| letter.timestamp).unwrap();
    let due = world.records("calendly.events.due").await.remove(0);
    for back in [&due, &second] {
        assert_eq!((&back.key, &back.value), (&first.key, &first.value));
        assert_eq!((back.header("replayed-by"), back.header("replay-count")), (Some("ada@ops"), Some("1")));
        assert!(back.header("replayed-at").unwrap().parse::<Timestamp>().is_ok());
        assert_eq!(back.header("retry-attempt"), Some("0"), "all retries are before it");
        for kept in ["event-id", "first-failed-at", "origin-topic", "origin-partition", "origin-offset"] {
            assert_eq!(back.header(kept), first.header(kept), "{kept}");
        }
    }
    let rows = json(&world, &["dlq", "replay", "--event-id", id, "--max-replays", "1", "--again"]).await;
    assert_eq!(actions(&rows), ["skip", "skip"]);
    assert!(rows[0]["reason"].as_str().unwrap().contains("later"), "{rows:?}");
    assert!(rows[1]["reason"].as_str().unwrap().contains("came back"), "{rows:?}");

    world.stripe.clear_faults();
    let table = text(&world.env, &["dlq", "replay"]).await;
    assert!(table.ends_with("1 replayed, 2 skipped\n"), "{table}");
    world.open_session(&invitee).await;
    let rows = json(&world, &["dlq", "replay"]).await;
    assert_eq!(actions(&rows), ["skip", "skip", "skip"], "it was handed back since it died");

    // On purpose once more: nothing is left to do.
    let rows = json(&world, &["dlq", "replay", "--again", "--limit", "1"]).await;
    assert_eq!(actions(&rows).last(), Some(&"replay"), "the limit is of what is handed back");
    world.processed("duplicate", 1.0).await;
    assert_eq!(world.stripe.sessions().len(), 1);
    let counts: BTreeMap<&str, usize> = BTreeMap::from([
        ("calendly.events", world.records("calendly.events").await.len()),
        ("due", world.records("calendly.events.due").await.len()),
        ("dlq", world.records("calendly.events.dlq").await.len()),
    ]);
    assert_eq!(counts, BTreeMap::from([("calendly.events", 1), ("due", 3), ("dlq", 3)]));
}

/// Puts a letter into the DLQ as the services would.
async fn bury(world: &World, delivery: &Delivery, class: ErrorClass) {
    let now = Timestamp::now();
    let body = delivery.body();
    let parsed = calendly::Delivery::parse(&body).unwrap();
    let (key, event_id) = (parsed.partition_key(), parsed.event_id().to_string());
    let value = match class {
        ErrorClass::InvalidPayload => body.clone(),
        _ => codec::encode_calendly(&parsed.into_event(now)).unwrap(),
    };
    let event = EventHeaders {
        event_id,
        event_type: "invitee.created".to_owned(),
        received_at: now,
        traceparent: String::new(),
    };
    let retry = RetryHeaders {
        attempt: 5,
        due_at: now,
        first_failed_at: now,
        failed_at: now,
        error_class: class,
        error: "of a test".to_owned(),
        origin_topic: world.sandbox.topic("calendly.events"),
        origin_partition: 0,
        origin_offset: 0,
    };
    let headers = Headers { event: Some(event), retry: Some(retry), other: Vec::new() };
    let pairs = headers.to_pairs();
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| (*name, &**value)).collect();
    let topic = world.sandbox.topic("calendly.events.dlq");
    produce(world.sandbox.brokers(), &topic, Some(key.as_bytes()), &value, &pairs).await;
}

#[tokio::test]
async fn a_replay_that_is_killed_goes_on_when_it_is_run_again() {
    const LETTERS: usize = 20;
    let world = World::start("dlq-killed").await;
    let invitees: Vec<Invitee> = (0..LETTERS).map(|_| Invitee::random()).collect();
    for invitee in &invitees {
        bury(&world, &invitee.created(), ErrorClass::Exhausted).await;
    }
    // Ctrl-C first, then no chance to say anything.
    let mut before = 0;
    for (signal, code) in [(Signal::Int, Some(1)), (Signal::Kill, None)] {
        let mut command = Command::new(Binary::Calctl.path());
        command.args(["dlq", "replay", "--rate", "4"]).env_clear().envs(&world.env).stdout(Stdio::null());
        let mut replay = Proc::spawn(&mut command, Signal::Kill).expect("our own binary can be run");
        world.wait_for_records("calendly.events.due", before + 3).await;
        assert_eq!(replay.stop(signal, PATIENCE).code(), code);
        before = world.records("calendly.events.due").await.len();
        assert!(before < LETTERS, "interrupted in the middle");
    }

    let rows = json(&world, &["dlq", "replay", "--rate", "1000"]).await;
    let sent = actions(&rows).iter().filter(|action| **action == "replay").count();
    // What was under way when it was killed may have arrived after we looked.
    assert!((LETTERS - before - 1..=LETTERS - before).contains(&sent), "{sent} after {before}");
    for invitee in &invitees {
        world.open_session(invitee).await;
    }
    assert_eq!(world.stripe.sessions().len(), LETTERS);
    let due = world.records("calendly.events.due").await;
    let letters: HashSet<_> = due.iter().map(|record| record.header("replayed-from").unwrap()).collect();
    assert_eq!(letters.len(), LETTERS);
    assert!(due.len() <= LETTERS + 1, "{} records for {LETTERS} letters", due.len());
    assert!(json(&world, &["dlq", "replay"]).await.iter().all(|row| row["action"] == "skip"));
    assert_eq!(world.records("calendly.events.dlq").await.len(), LETTERS);
}

/// Ingest could not read it when it came; this release can.
#[tokio::test]
async fn a_body_that_is_an_event_by_now_is_taken_in() {
    let world = World::start("dlq-reingest").await;
    let invitee = Invitee::random();
    bury(&world, &invitee.created(), ErrorClass::InvalidPayload).await;
    let rows = json(&world, &["dlq", "replay"]).await;
    assert_eq!(actions(&rows), ["reingest"]);
    assert_eq!(rows[0]["topic"].as_str(), Some(world.sandbox.topic("calendly.events").as_str()));
    world.open_session(&invitee).await;
    let event = world.records("calendly.events").await.remove(0);
    assert_eq!(event.key_str(), Some(invitee.uri.as_str()));
    assert_eq!((event.header("retry-attempt"), event.header("replay-count")), (None, Some("1")));
    let decoded = codec::decode_calendly(&event.value).unwrap();
    assert_eq!(decoded.payload.as_bytes(), invitee.created().body());
    assert_eq!(event.header("event-id"), Some(decoded.event_id.to_string().as_str()));
    assert_eq!(actions(&json(&world, &["dlq", "replay"]).await), ["skip"]);
    // The rate holds: three letters at two a second take a second.
    for _ in 0..3 {
        bury(&world, &Invitee::random().created(), ErrorClass::Exhausted).await;
    }
    let started = std::time::Instant::now();
    json(&world, &["dlq", "replay", "--rate", "2"]).await;
    assert!(started.elapsed() >= Duration::from_secs(1), "{:?}", started.elapsed());
}
