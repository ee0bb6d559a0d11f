//! Failures: through the tiers, never early, into the DLQ with all headers, and never into the data teams' topics.

use std::time::Duration;

use jiff::Timestamp;
use tests::calendly::Invitee;
use tests::kafka::Message;
use tests::stripe::{Endpoint, Fault, Injection};

use crate::world::World;

fn time(message: &Message, header: &str) -> Timestamp {
    message.header(header).unwrap_or_else(|| panic!("no {header}")).parse().unwrap()
}

/// Every header once, and each with something in it.
fn assert_headers(message: &Message) {
    let names: Vec<&str> = message.headers.iter().map(|(name, _)| name.as_str()).collect();
    for name in schemas::headers::names::ALL {
        assert_eq!(names.iter().filter(|other| **other == name).count(), 1, "{name} in {names:?}");
        let value = message.header(name).unwrap();
        assert!(!value.is_empty() && value.is_ascii(), "{name}: {value}");
    }
    assert!(message.header("error").unwrap().len() <= 1024);
}

#[tokio::test]
async fn a_stripe_500_then_success_through_a_tier() {
    let world = World::start("retry-500").await;
    world.stripe.inject(Endpoint::CreateSession, Fault::Saved500);
    let invitee = Invitee::random();
    world.send(&invitee.created()).await;
    world.open_session(&invitee).await;
    world.processed("applied", 1.0).await;
    let [tier, due] = [world.records("calendly.events.retry.300ms").await, world.records("calendly.events.due").await];
    assert_eq!((tier.len(), due.len()), (1, 1));
    let origin = world.records("calendly.events").await;
    assert_eq!(origin.len(), 1, "retries stay out of the data teams' topic");
    for moved in [&tier[0], &due[0]] {
        assert_headers(moved);
        assert_eq!((&moved.key, &moved.value), (&origin[0].key, &origin[0].value));
        assert_eq!(moved.header("retry-attempt"), Some("1"));
        assert_eq!(moved.header("error-class"), Some("transient"));
        assert_eq!(moved.header("origin-topic"), Some(world.sandbox.topic("calendly.events").as_str()));
        assert_eq!(moved.header("origin-offset"), Some(origin[0].offset.to_string().as_str()));
        assert_eq!(moved.header("event-id"), origin[0].header("event-id"));
    }
    assert_eq!(time(&tier[0], "retry-due-at"), time(&tier[0], "failed-at") + Duration::from_millis(300));
    let released = Timestamp::from_millisecond(due[0].timestamp).unwrap();
    // Kafka's time has whole milliseconds.
    let lateness = released.duration_since(time(&tier[0], "retry-due-at")).as_millis();
    assert!((-1..1000).contains(&lateness), "released {lateness} ms after it was due");
    // Stripe had saved the 500 under the first key: the second try looked, and used another.
    assert_eq!(world.stripe.sessions().len(), 1);
}

#[tokio::test]
async fn a_permanent_error_goes_straight_to_the_dlq() {
    let world = World::start("permanent").await;
    let refusal = Fault::status_with_code(400, "url_invalid");
    world.stripe.inject_with(Injection::on(Endpoint::CreateSession, refusal).always());
    let invitee = Invitee::random();
    world.send(&invitee.created()).await;
    let dead = world.wait_for_records("calendly.events.dlq", 1).await;
    assert_headers(&dead[0]);
    assert_eq!(dead[0].header("retry-attempt"), Some("0"));
    assert_eq!(dead[0].header("error-class"), Some("permanent"));
    assert!(!dead[0].header("error").unwrap().contains(&invitee.email));
    world.processed("dead", 1.0).await;
    let row = world.row(&invitee).await.expect("the booking is there, without a session");
    assert_eq!(row.get::<_, Option<&str>>("checkout_url"), None);
    assert_eq!(world.records("calendly.events.retry.300ms").await.len(), 0);

    // Once the cause is mended, a delivery of the same happening finishes what was refused.
    world.stripe.clear_faults();
    world.send(&invitee.created()).await;
    world.open_session(&invitee).await;
    assert_eq!(world.stripe.sessions().len(), 1);
}

#[tokio::test]
async fn a_failing_event_walks_every_tier_and_is_exhausted() {
    let world = World::start_with("exhausted", &[("RETRY_MAX_ATTEMPTS", "4")]).await;
    world.stripe.inject_with(Injection::on(Endpoint::CreateSession, Fault::status(503)).always());
    world.stripe.inject_with(Injection::on(Endpoint::ListSessions, Fault::status(503)).always());
    let invitee = Invitee::random();
    world.send(&invitee.created()).await;
    let dead = world.wait_for_records("calendly.events.dlq", 1).await;
    assert_headers(&dead[0]);
    assert_eq!(dead[0].header("retry-attempt"), Some("4"));
    assert_eq!(dead[0].header("error-class"), Some("exhausted"));
    // Past the last tier, the last tier again.
    for (tier, attempts) in [("300ms", vec!["1"]), ("600ms", vec!["2"]), ("900ms", vec!["3", "4"])] {
        let records = world.records(&format!("calendly.events.retry.{tier}")).await;
        let found: Vec<_> = records.iter().map(|record| record.header("retry-attempt").unwrap()).collect();
        assert_eq!(found, attempts, "{tier}");
        assert!(records.iter().all(|record| time(record, "first-failed-at") == time(&dead[0], "first-failed-at")));
    }
    assert_eq!(world.records("calendly.events").await.len(), 1);
    assert_eq!(world.records("calendly.events.due").await.len(), 4);
    world.processed("retried", 4.0).await;
    world.processed("dead", 1.0).await;
    let retrier = world.retrier.metrics().await;
    assert_eq!(retrier.sum("retries_released_total", &[]), 4.0);
    let processor = world.processor.metrics().await;
    assert_eq!(processor.sum("retries_scheduled_total", &[("error_class", "transient")]), 4.0);
    assert_eq!(processor.sum("dead_letters_total", &[("error_class", "exhausted")]), 1.0);
}

#[tokio::test]
async fn stripes_retry_after_picks_a_later_tier() {
    let world = World::start_with("retry-after", &[("RETRY_DELAYS", "100ms,200ms,2s")]).await;
    world.stripe.inject(Endpoint::CreateSession, Fault::rate_limited(Some(1)));
    let invitee = Invitee::random();
    world.send(&invitee.created()).await;
    let waiting = world.wait_for_records("calendly.events.retry.2s", 1).await;
    assert_eq!(waiting[0].header("error-class"), Some("rate_limited"));
    assert_eq!(waiting[0].header("retry-attempt"), Some("1"));
    world.open_session(&invitee).await;
}

#[tokio::test]
async fn a_stripe_event_for_an_unknown_booking_waits_for_it() {
    let world = World::start("dependency").await;
    let id = uuid::Uuid::new_v4();
    let event = serde_json::json!({
        "id": "evt_early", "type": "checkout.session.expired", "created": Timestamp::now().as_second(),
        "data": { "object": { "id": "cs_1", "object": "checkout.session", "client_reference_id": id.to_string(),
            "metadata": { "booking_id": id.to_string() }, "status": "expired", "payment_status": "unpaid" } }
    });
    world.send_stripe(&event).await;
    let waiting = world.wait_for_records("calendly.events.retry.300ms", 1).await;
    assert_eq!(waiting[0].header("error-class"), Some("dependency"));
    assert_eq!(waiting[0].header("origin-topic"), Some(world.sandbox.topic("stripe.events").as_str()));
    world.database.execute("INSERT INTO bookings (id, reference) VALUES ($1, 'late')", &[&id]).await.unwrap();
    world.processed("applied", 1.0).await;
}

#[tokio::test]
async fn an_unreadable_record_is_dead_and_its_partition_goes_on() {
    let world = World::start_with("poison", &[("TOPIC_PARTITIONS", "1")]).await;
    let topic = world.sandbox.topic("calendly.events");
    tests::kafka::produce(world.sandbox.brokers(), &topic, Some(b"key"), b"no avro", &[]).await;
    let dead = world.wait_for_records("calendly.events.dlq", 1).await;
    assert_eq!((dead[0].value.as_slice(), dead[0].header("error-class")), (b"no avro".as_slice(), Some("permanent")));
    world.paid(&Invitee::random()).await;
}

/// What Stripe refused is not asked for again by an event that makes it needless.
#[tokio::test]
async fn a_refused_session_does_not_spoil_the_cancel() {
    let world = World::start("refused-then-canceled").await;
    world.stripe.inject(Endpoint::CreateSession, Fault::status_with_code(400, "url_invalid"));
    let invitee = Invitee::random();
    world.send(&invitee.created()).await;
    world.wait_for_records("calendly.events.dlq", 1).await;
    world.send(&invitee.canceled()).await;
    world.booking(&invitee, "CANCELED UNPAID").await;
    world.processed("applied", 1.0).await;
    assert_eq!(world.records("calendly.events.dlq").await.len(), 1);
    assert_eq!(world.stripe.sessions().len(), 0, "nobody opens a session for a cancelled booking");
}

#[tokio::test]
async fn a_refund_that_stripe_refuses_is_visible_and_spoils_nothing_else() {
    let world = World::start("refund-refused").await;
    let invitee = Invitee::random();
    world.paid(&invitee).await;
    world
        .stripe
        .inject_with(Injection::on(Endpoint::CreateRefund, Fault::status_with_code(400, "charge_disputed")).always());
    world.send(&invitee.canceled()).await;
    world.booking(&invitee, "CANCELED REFUND_FAILED").await;
    world.wait_for_records("calendly.events.dlq", 1).await;
    world.send(&invitee.no_show(true)).await;
    world.processed("applied", 3.0).await;
    assert_eq!(world.records("calendly.events.dlq").await.len(), 1);
    // The cause is mended and the cancel comes again, as from the DLQ.
    world.stripe.clear_faults();
    world.send(&invitee.canceled()).await;
    world.booking(&invitee, "CANCELED REFUNDED").await;
    assert_eq!(world.stripe.refunds().len(), 1);
}

/// Another product on the same Stripe account may have references like ours.
#[tokio::test]
async fn a_session_that_is_not_ours_is_ignored() {
    let world = World::start("foreign").await;
    let event = serde_json::json!({
        "id": "evt_foreign", "type": "checkout.session.expired", "created": Timestamp::now().as_second(),
        "data": { "object": { "id": "cs_2", "object": "checkout.session", "metadata": {}, "status": "expired",
            "client_reference_id": uuid::Uuid::new_v4().to_string(), "payment_status": "unpaid" } }
    });
    world.send_stripe(&event).await;
    world.processed("ignored", 1.0).await;
}

/// Two events and one reference: whoever is first makes the row, and the other finds it.
#[tokio::test]
async fn a_reference_that_appears_in_the_same_moment_is_shared() {
    let world = World::start("same-reference").await;
    let pairs: Vec<_> = (0..20)
        .map(|n| {
            let first = Invitee::random();
            let with_reference = first.clone().reference(&format!("order-{n}"));
            (first, with_reference)
        })
        .collect();
    for (first, with_reference) in &pairs {
        let moved = with_reference.moved().reference(with_reference.reference.as_deref().unwrap());
        let deliveries =
            [first.canceled().occurred(first.booked_at), with_reference.created(), moved.rescheduled_event()];
        futures_util::future::join_all(deliveries.iter().map(|delivery| world.send(delivery))).await;
    }
    world.processed("applied", 60.0).await;
    assert_eq!(world.records("calendly.events.dlq").await.len(), 0);
    let rows: i64 = world.database.query_one("SELECT count(*) FROM bookings", &[]).await.unwrap().get(0);
    assert_eq!(rows, 20);
}
