//! `calctl backfill` as a process: output, JSON, exit code, and what it publishes.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tests::calendly_api::{CalendlyDouble, Fault, TOKEN};
use tests::run_calctl;
use tests::sandbox::Env;

use super::{ago, booked, by_id, lone_ingest};

async fn backfill(env: &Env, args: &[&str]) -> (Option<i32>, String, String) {
    let output = run_calctl(&[&["backfill"], args].concat(), env).await;
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(!stdout.contains(TOKEN) && !stderr.contains(TOKEN), "the token is shown");
    (output.status.code(), stdout, stderr)
}

async fn json_of(env: &Env, args: &[&str]) -> Value {
    let (code, stdout, stderr) = backfill(env, &[args, &["--output", "json"]].concat()).await;
    assert_eq!(code, Some(0), "{stderr}");
    serde_json::from_str(&stdout).unwrap()
}

#[tokio::test]
async fn calctl_shows_and_publishes_a_time_as_often_as_wanted() {
    let double = CalendlyDouble::start().await;
    let (sandbox, env) = lone_ingest("calctl-backfill", &double).await;
    assert_eq!(run_calctl(&["topics", "apply"], &env).await.status.code(), Some(0));
    let (stays, leaves, earlier) = (booked(1, 5), booked(2, 6), booked(3, 50));
    for invitee in [&stays, &leaves, &earlier] {
        double.book(invitee);
    }
    double.cancel(&leaves, ago(4));
    let counts = json!({ "invitee.created": 2, "invitee.canceled": 1, "invitee_no_show.created": 0 });

    let mut without_kafka = env.clone();
    without_kafka.remove("KAFKA_BROKERS");
    let mut planned = json_of(&without_kafka, &["--since", "24h", "--dry-run"]).await;
    let events = planned["events"].take();
    let first = stays.created();
    let id = schemas::calendly::Delivery::parse(&first.body()).unwrap().event_id().to_string();
    let row = json!({
        "occurred_at": first.json()["created_at"].as_str().unwrap().parse::<Timestamp>().unwrap(),
        "event_type": "invitee.created", "event_id": id, "invitee": stays.uri,
    });
    assert_eq!(events.as_array().unwrap().len(), 3);
    assert!(events.as_array().unwrap().contains(&row), "{row} in {events}");
    let keys: Vec<&String> = planned.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["counts", "dry_run", "events", "meetings", "since", "until"]);
    assert_eq!((&planned["counts"], &planned["dry_run"], &planned["meetings"]), (&counts, &json!(true), &json!(3)));
    let long = |report: &Value| {
        let [since, until] =
            ["since", "until"].map(|name| report[name].as_str().unwrap().parse::<Timestamp>().unwrap());
        until.duration_since(since).as_hours()
    };
    assert_eq!(long(&planned), 26, "an hour more at both ends");
    let (_, text, _) = backfill(&env, &["--since", "24h", "--dry-run"]).await;
    assert!(text.contains("invitee.canceled") && text.contains(&id) && text.contains("3 events of"), "{text}");
    assert!(text.contains("would be published; 3 meetings were looked at"), "{text}");
    assert!(!text.contains('@'), "no personal data: {text}");
    let topic = sandbox.topic("calendly.events");
    let records = async || tests::kafka::read_all(sandbox.brokers(), &topic, tests::kafka::Isolation::Committed).await;
    assert_eq!(records().await.len(), 0, "a dry run publishes nothing");

    for round in 1..=2 {
        let done = json_of(&env, &["--since", "24h"]).await;
        assert_eq!((&done["counts"], &done["dry_run"], done.get("events")), (&counts, &json!(false), None));
        let records = records().await;
        assert_eq!(records.len(), round * 3);
        assert_eq!(by_id(&records).len(), 3, "a second run has the same ids");
        assert!(records.iter().all(|record| record.header("backfilled") == Some("true")));
        assert!(records.iter().all(|record| record.header("traceparent").is_some()));
    }
    let (code, text, _) = backfill(&env, &["--since", &ago(7).to_string(), "--until", "5h"]).await;
    assert!(code == Some(0) && text.contains("are published"), "{text}");
    // `earlier` and what is too late are left out.
    let of_old = json_of(&env, &["--since", "60h", "--until", "40h", "--dry-run"]).await;
    assert_eq!(of_old["events"][0]["invitee"], earlier.uri);
    assert_eq!(of_old["events"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn calctl_says_what_to_do_when_it_cannot_backfill() {
    let double = CalendlyDouble::start().await;
    let (_sandbox, env) = lone_ingest("calctl-backfill-fails", &double).await;
    let with = |name: &str, value: &str| {
        let mut env = env.clone();
        env.insert(name.to_owned(), value.to_owned());
        env
    };
    let dry = ["--since", "24h", "--dry-run"];
    let fails = async |env: &Env, says: &str| {
        let (code, stdout, stderr) = backfill(env, &dry).await;
        assert_eq!((code, stdout.as_str(), stderr.lines().count()), (Some(1), "", 1), "{stderr}");
        assert!(stderr.contains(says), "{says} in {stderr}");
    };
    fails(&with("CALENDLY_TOKEN", ""), "CALENDLY_TOKEN").await;
    fails(&with("CALENDLY_TOKEN", "another"), "set CALENDLY_TOKEN to it").await;
    double.owner_is_admin(false);
    fails(&env, "CALENDLY_SCOPE").await;
    assert_eq!(backfill(&env, &["--since", "24h", "--dry-run", "--scope", "user"]).await.0, Some(0));
    double.owner_is_admin(true);
    double.limit_rate(1, Duration::from_secs(1));
    assert_eq!(backfill(&env, &dry).await.0, Some(0), "a rate limit is waited for");
    double.limit_rate(1000, Duration::from_secs(1));
    for _ in 0..4 {
        double.inject("GET", "/scheduled_events", Fault::Status(429));
    }
    fails(&env, "rate limit is used up").await;
    for wrong in [
        &[][..],
        &["--since", "yesterday"],
        &["--since", "1h", "--until", "2h"],
        &["--since", "2999-01-01T00:00:00Z"],
        &["--since", "1h", "--scope", "everybody"],
    ] {
        assert_eq!(backfill(&env, wrong).await.0, Some(2), "{wrong:?}");
    }
    // Kafka is looked at before Calendly is asked for hours of work; what was published before a failure is told.
    double.book(&booked(1, 5));
    double.book(&booked(2, 4));
    assert_eq!(run_calctl(&["topics", "apply"], &env).await.status.code(), Some(0));
    double.inject("GET", "/scheduled_events/", Fault::Done);
    double.inject("GET", "/scheduled_events/", Fault::Status(403));
    let (code, _, stderr) = backfill(&env, &["--since", "24h"]).await;
    assert!(code == Some(1) && stderr.contains("1 events are published; run it again"), "{stderr}");
}
