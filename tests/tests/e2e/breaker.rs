//! An outage that lasts longer than all tiers together: nothing is dead afterwards.

use std::time::Duration;

use tests::calendly::Invitee;
use tests::eventually;
use tests::stripe::Endpoint;

use crate::world::{PATIENCE, World};

const BOOKINGS: usize = 30;

async fn dead(world: &World) -> usize {
    world.records("calendly.events.dlq").await.len()
}

async fn readiness(world: &World) -> (u16, String) {
    world.processor.admin("/readyz").await.expect("the admin address answers")
}

/// With tiers of 0.1 to 0.3 s and five retries, an event that is tried without end is dead after 1.2 s. The outage goes on
/// for ten times as long: to scale, it is what 18 hours are to the default tiers.
#[tokio::test]
async fn nothing_is_dead_because_stripe_was_away() {
    let world = World::start_with("outage", &[("RETRY_DELAYS", "100ms,200ms,300ms")]).await;
    world.stripe.go_down();
    let invitees: Vec<Invitee> = (0..BOOKINGS).map(|_| Invitee::random()).collect();
    for invitee in &invitees {
        world.send(&invitee.created()).await;
    }
    eventually(PATIENCE, "the breaker to open", async || {
        (world.processor.metrics().await.sum("breaker_open", &[("cause", "stripe")]) == 1.0).then_some(())
    })
    .await;
    let (status, body) = readiness(&world).await;
    assert_eq!(status, 503, "{body}");
    assert!(body.contains("breaker") && body.contains("Stripe"), "{body}");
    // The condition to wait for is time itself: that probes go on failing.
    let failed = async || {
        let requests = world.processor.metrics().await;
        requests.sum("stripe_requests_total", &[("operation", "create_session"), ("outcome", "no_answer")])
            + requests.sum("stripe_requests_total", &[("operation", "create_session"), ("outcome", "unreachable")])
    };
    let before = failed().await;
    eventually(Duration::from_mins(1), "three probes to fail", async || (failed().await >= before + 3.0).then_some(()))
        .await;
    assert_eq!(dead(&world).await, 0);
    // A booking that needs nothing of Stripe's is one probe away from being done.
    world.stripe.clear_faults();
    for invitee in &invitees {
        world.open_session(invitee).await;
    }
    assert_eq!(world.stripe.executions(Endpoint::CreateSession), BOOKINGS);
    eventually(PATIENCE, "the processor to be ready again", async || (readiness(&world).await.0 == 200).then_some(()))
        .await;
    assert_eq!(dead(&world).await, 0);
    let tried = world.records("calendly.events.due").await.len();
    assert!(tried <= BOOKINGS * 2, "{tried} retries: what is held back is not moved");
}

/// The same with the default tiers, in real time.
#[tokio::test]
#[ignore = "takes eleven minutes"]
async fn nothing_is_dead_after_ten_minutes_without_stripe() {
    let world = World::start_with("ten-minutes", &[("RETRY_DELAYS", "1m,5m,15m,30m,60m")]).await;
    world.stripe.go_down();
    let mut invitees = Vec::new();
    let mut deliveries = tokio::time::interval(Duration::from_secs(2));
    for _ in 0..300 {
        deliveries.tick().await;
        let invitee = Invitee::random();
        world.send(&invitee.created()).await;
        invitees.push(invitee);
    }
    assert_eq!(readiness(&world).await.0, 503);
    world.stripe.clear_faults();
    for invitee in &invitees {
        world.open_session(invitee).await;
    }
    assert_eq!(world.stripe.executions(Endpoint::CreateSession), invitees.len());
    assert_eq!(dead(&world).await, 0);
}

/// Held-back records do not keep the service from stopping.
#[tokio::test]
async fn a_processor_with_an_open_breaker_stops_at_once() {
    let world = World::start_with("open-stop", &[("RETRY_DELAYS", "100ms,200ms,300ms")]).await;
    world.stripe.go_down();
    for _ in 0..BOOKINGS {
        world.send(&Invitee::random().created()).await;
    }
    eventually(PATIENCE, "the breaker to open", async || {
        (world.processor.metrics().await.sum("breaker_open", &[("cause", "stripe")]) == 1.0).then_some(())
    })
    .await;
    world.processor.sigterm();
    let status = world.processor.wait_exit(Duration::from_secs(25)).await;
    assert_eq!(status.code(), Some(0), "{}", world.processor.stderr());
}
