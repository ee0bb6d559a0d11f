//! `calctl audit`: every accepted event is somewhere, also while it moves, and what is nowhere is named.

use jiff::Timestamp;
use serde_json::{Value, json};
use tests::calendly::Invitee;
use tests::kafka::produce;
use tests::stripe::{Endpoint, Fault};
use tests::{eventually, run_calctl};
use uuid::Uuid;

use crate::world::{PATIENCE, World};

/// Runs an audit: its exit code and its report.
async fn audit(world: &World, args: &[&str]) -> (Option<i32>, Value) {
    let output = run_calctl(&[&["audit", "--output", "json"], args].concat(), &world.env).await;
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let sum: u64 =
        ["applied", "ignored", "waiting", "in_retry", "dead"].iter().map(|n| report[n].as_u64().unwrap()).sum();
    let missing = report["missing"].as_array().unwrap().len() as u64;
    assert_eq!(report["accepted"].as_u64(), Some(sum + missing), "{report}");
    (output.status.code(), report)
}

fn expired(event_id: &str, metadata: &Value, reference: Uuid) -> Value {
    json!({
        "id": event_id, "type": "checkout.session.expired", "created": Timestamp::now().as_second(),
        "data": { "object": { "id": format!("cs_{event_id}"), "object": "checkout.session", "metadata": metadata,
            "client_reference_id": reference.to_string(), "status": "expired", "payment_status": "unpaid" } }
    })
}

#[tokio::test]
async fn every_event_has_a_place_and_a_lost_one_is_named() {
    let world = World::start_with("audit", &[("RETRY_DELAYS", "300ms,2h")]).await;
    let paid = Invitee::random();
    world.paid(&paid).await;
    world.send(&paid.created()).await;
    world.send(&paid.created().event("routing_form_submission.created")).await;
    world.send_stripe(&expired("evt_foreign", &json!({}), Uuid::new_v4())).await;
    world.processed("ignored", 2.0).await;
    world.stripe.inject(Endpoint::CreateSession, Fault::rate_limited(Some(3000)));
    world.send(&Invitee::random().created()).await;
    world.wait_for_records("calendly.events.retry.2h", 1).await;
    world.stripe.inject(Endpoint::CreateSession, Fault::status_with_code(400, "url_invalid"));
    world.send(&Invitee::random().created()).await;
    world.wait_for_records("calendly.events.dlq", 1).await;
    produce(world.sandbox.brokers(), &world.sandbox.topic("calendly.events"), Some(b"key"), b"no avro", &[]).await;
    world.wait_for_records("calendly.events.dlq", 2).await;
    world.processed("dead", 2.0).await;

    // The paid booking's two events, one of them delivered twice; two ignored; one waiting; two dead.
    let (code, report) = audit(&world, &[]).await;
    assert_eq!(code, Some(0), "{report}");
    let counts = ["accepted", "applied", "ignored", "waiting", "in_retry", "dead"].map(|n| report[n].as_u64().unwrap());
    assert_eq!(counts, [7, 2, 2, 0, 1, 2], "{report}");

    // Mended and replayed, the refused one is applied; the unreadable one stays dead.
    let output = run_calctl(&["dlq", "replay"], &world.env).await;
    assert!(output.status.success(), "{output:?}");
    world.processed("applied", 3.0).await;
    let (code, report) = audit(&world, &["--since", "1h"]).await;
    assert_eq!((code, &report["applied"], &report["dead"]), (Some(0), &json!(3), &json!(1)), "{report}");

    // Lost without a trace: one of Calendly's and one of Stripe's.
    let rows = "DELETE FROM booking_events WHERE booking_id = (SELECT id FROM bookings WHERE invitee_uri = $1) \
                AND event_type IN ('invitee.created', 'checkout.session.completed') RETURNING event_id";
    assert_eq!(world.database.query(rows, &[&paid.uri]).await.unwrap().len(), 2);
    let (code, report) = audit(&world, &[]).await;
    let calendly = world.records("calendly.events").await;
    let calendly = calendly.iter().find(|record| record.key_str() == Some(&paid.uri)).unwrap();
    let stripe = world.records("stripe.events").await;
    let stripe =
        stripe.iter().find(|record| record.header("event-type") == Some("checkout.session.completed")).unwrap();
    let mut lost = [calendly.header("event-id").unwrap(), stripe.header("event-id").unwrap()];
    lost.sort_unstable();
    assert_eq!((code, &report["missing"]), (Some(1), &json!(lost)), "{report}");
    let output = run_calctl(&["audit"], &world.env).await;
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.code() == Some(1) && lost.iter().all(|id| table.contains(id)), "{output:?}");

    // Before the window, and in a window that is none.
    let now = Timestamp::now().to_string();
    assert_eq!(audit(&world, &["--since", &now]).await.0, Some(0));
    assert_eq!(audit(&world, &["--until", "1h"]).await.1["accepted"], 0);
    let output = run_calctl(&["audit", "--since", "1h", "--until", "2h"], &world.env).await;
    assert_eq!(output.status.code(), Some(2), "{output:?}");

    // Not read yet is not missing.
    world.processor.sigkill();
    world.send(&Invitee::random().created()).await;
    let (_, report) = audit(&world, &[]).await;
    assert_eq!((&report["waiting"], &report["missing"]), (&json!(1), &json!(lost)), "{report}");
}

/// Events that are in no table and go round and round through the tiers: whenever one looks, all of them are somewhere.
#[tokio::test]
async fn an_event_in_motion_is_never_missing() {
    const EVENTS: u32 = 50;
    let world = World::start_with("audit-motion", &[("RETRY_DELAYS", "200ms"), ("RETRY_MAX_ATTEMPTS", "100000")]).await;
    for number in 0..EVENTS {
        let id = Uuid::new_v4();
        world.send_stripe(&expired(&format!("evt_{number}"), &json!({ "booking_id": id.to_string() }), id)).await;
    }
    world.processed("retried", f64::from(EVENTS)).await;
    for look in 0..3 {
        let (code, report) = audit(&world, &[]).await;
        assert_eq!((code, &report["accepted"]), (Some(0), &json!(EVENTS)), "look {look}: {report}");
    }
    // All of them in the tier, then all in the due topic. What a frozen retrier left open, the brokers abort after 10 to
    // 20 s, and until then an audit waits.
    for (stopped, in_tier) in [(&world.retrier, EVENTS as usize), (&world.processor, 0)] {
        stopped.freeze();
        eventually(PATIENCE * 2, "everything to be in one topic", async || {
            let (tier, due) =
                (world.records("calendly.events.retry.200ms").await, world.records("calendly.events.due").await);
            (tier.len() == due.len() + in_tier).then_some(())
        })
        .await;
        let (code, report) = audit(&world, &[]).await;
        assert_eq!((code, &report["in_retry"]), (Some(0), &json!(EVENTS)), "{report}");
        stopped.thaw();
    }
}
