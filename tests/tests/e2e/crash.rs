//! Processes that die at the worst moment, and dependencies that go away.

use std::time::Duration;

use tests::calendly::{Delivery, Invitee};
use tests::kafka::produce;
use tests::stripe::{Endpoint, Fault};
use tests::{Binary, Service, eventually};

use crate::world::{PATIENCE, World};

#[tokio::test]
async fn killed_between_stripes_answer_and_the_commit() {
    let mut world = World::start("kill-before-commit").await;
    // The call is done at Stripe, and the answer is held back.
    world.stripe.inject(Endpoint::CreateSession, Fault::ExecuteThenHang);
    let invitee = Invitee::random();
    world.send(&invitee.created()).await;
    eventually(PATIENCE, "the request to hang", async || (world.stripe.hanging() == 1).then_some(())).await;
    // The row is locked, so that the answer is read but its commit cannot happen.
    world.database.batch_execute("BEGIN; SELECT 1 FROM bookings FOR UPDATE").await.unwrap();
    world.stripe.release();
    let watcher = world.sandbox.database().await;
    eventually(PATIENCE, "the settling transaction to wait for the row", async || {
        let waiting = watcher
            .query(
                "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()",
                &[],
            )
            .await
            .unwrap();
        (!waiting.is_empty()).then_some(())
    })
    .await;
    world.processor.sigkill();
    world.processor.wait_exit(PATIENCE).await;
    world.database.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(world.stripe.sessions().len(), 1);
    assert_eq!(world.row(&invitee).await.unwrap().get::<_, Option<&str>>("checkout_url"), None);

    world.processor = Service::spawn(Binary::Processor, &world.env);
    let session = world.open_session(&invitee).await;
    assert_eq!(world.stripe.sessions().len(), 1, "the same key, the same session");
    world.stripe.pay(&session).unwrap();
    world.booking(&invitee, "CONFIRMED PAID").await;
}

#[tokio::test]
async fn sigterm_finishes_what_runs_and_exits_with_0() {
    let world = World::start("sigterm").await;
    world.stripe.inject(Endpoint::CreateSession, Fault::delay(Duration::from_millis(800)));
    let invitee = Invitee::random();
    world.send(&invitee.created()).await;
    eventually(PATIENCE, "the request to reach Stripe", async || (!world.stripe.requests().is_empty()).then_some(()))
        .await;
    for service in [&world.processor, &world.retrier, &world.ingest] {
        service.sigterm();
    }
    for service in [&world.processor, &world.retrier, &world.ingest] {
        let status = service.wait_exit(Duration::from_secs(30)).await;
        assert_eq!(status.code(), Some(0), "{}", service.stderr());
    }
    // It was in flight when the signal came, and is done.
    assert!(world.row(&invitee).await.unwrap().get::<_, Option<&str>>("checkout_url").is_some());
}

#[tokio::test]
async fn a_retrier_that_is_killed_releases_nothing_twice() {
    let mut world = World::start_with("kill-retrier", &[("RETRY_DELAYS", "2s,4s")]).await;
    // Five that fail twice would open the breaker, which holds the rest back.
    let invitees: Vec<Invitee> = (0..4).map(|_| Invitee::random()).collect();
    for invitee in &invitees {
        world.stripe.inject(Endpoint::CreateSession, Fault::status(503));
        world.send(&invitee.created()).await;
    }
    world.wait_for_records("calendly.events.retry.2s", invitees.len()).await;
    world.retrier.sigkill();
    world.retrier.wait_exit(PATIENCE).await;
    world.retrier = Service::spawn(Binary::Retrier, &world.env);
    for invitee in &invitees {
        world.open_session(invitee).await;
    }
    let due = world.records("calendly.events.due").await;
    let mut ids: Vec<_> = due.iter().map(|record| record.header("event-id").unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((due.len(), ids.len()), (invitees.len(), invitees.len()));
    assert_eq!(world.stripe.sessions().len(), invitees.len());
}

/// The same happening many times, on many partitions, at eight processors at once: done once.
#[tokio::test]
async fn eight_processors_on_the_same_bookings() {
    const BOOKINGS: u64 = 6;
    const COPIES: u64 = 16;
    let world = World::start_with("eight", &[("TOPIC_PARTITIONS", "16"), ("DATABASE_POOL_SIZE", "4")]).await;
    let others: Vec<_> = (0..7).map(|_| Service::spawn(Binary::Processor, &world.env)).collect();
    for other in &others {
        other.wait_ready(PATIENCE).await;
    }
    let topic = world.sandbox.topic("calendly.events");
    let flood = async |deliveries: Vec<Delivery>| {
        let mut records = Vec::new();
        for delivery in &deliveries {
            let body = delivery.body();
            let event = schemas::calendly::Delivery::parse(&body).unwrap().into_event(jiff::Timestamp::now());
            records.push(schemas::codec::encode_calendly(&event).unwrap());
        }
        let sends =
            (0..COPIES).flat_map(|copy| records.iter().map(move |record| (copy, record))).map(|(copy, record)| {
                // Keys that no producer of ours would choose, so that copies meet on different processors.
                let key = format!("{copy} {}", rand::random::<u32>());
                let (brokers, topic) = (world.sandbox.brokers(), topic.as_str());
                async move { produce(brokers, topic, Some(key.as_bytes()), record, &[]).await }
            });
        futures_util::future::join_all(sends).await;
    };
    let invitees: Vec<_> = (0..BOOKINGS).map(|_| Invitee::random()).collect();
    flood(invitees.iter().map(Invitee::created).collect()).await;
    for invitee in &invitees {
        let session = world.open_session(invitee).await;
        world.stripe.pay(&session).unwrap();
        world.booking(invitee, "CONFIRMED PAID").await;
    }
    flood(invitees.iter().map(Invitee::canceled).collect()).await;
    for invitee in &invitees {
        world.booking(invitee, "CANCELED REFUNDED").await;
    }
    let count = usize::try_from(BOOKINGS).unwrap();
    assert_eq!((world.stripe.sessions().len(), world.stripe.refunds().len()), (count, count));
    assert_eq!(world.stripe.executions(Endpoint::CreateSession), count);
    assert_eq!(world.records("calendly.events.dlq").await.len(), 0);
    for service in others.iter().chain([&world.processor]) {
        assert!(!service.stderr().contains("40P01"), "a deadlock: {}", service.stderr());
    }
}
