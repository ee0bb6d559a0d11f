//! The processor dies at every step of record … settle, and nobody can tell afterwards.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use tests::calendly::Invitee;
use tests::stripe::{Endpoint, Fault, RefundMode};
use tests::{Binary, Service, eventually};

use crate::world::{PATIENCE, World};

/// Each world is a broker's worth of topics and three processes.
const AT_ONCE: usize = 6;
/// Transactions that the story below takes at least: booked, session opened, paid, left, moved, cancelled, refunded, and
/// what Stripe says of the refund.
const TRANSACTIONS: u32 = 8;
/// Requests to Stripe that it takes: a session, a refund.
const REQUESTS: u32 = 2;

fn places() -> Vec<String> {
    let at = |name: &'static str, times: u32| (1..=times).map(move |time| format!("{name}:{time}"));
    at("before-commit", TRANSACTIONS)
        .chain(at("after-commit", TRANSACTIONS))
        .chain(at("answered", REQUESTS))
        .chain(at("moved", 1))
        .collect()
}

/// Somebody books, pays, reschedules, cancels.
async fn story(world: &World) -> Invitee {
    let invitee = Invitee::random();
    world.send(&invitee.created()).await;
    let session = world.open_session(&invitee).await;
    world.stripe.pay(&session).expect("it can be paid");
    world.booking(&invitee, "CONFIRMED PAID").await;
    let next = invitee.moved();
    let (left, created) = invitee.reschedule_pair(&next);
    world.send(&created).await;
    world.send(&left).await;
    world.booking(&next, "CONFIRMED PAID").await;
    world.send(&next.canceled()).await;
    world.booking(&next, "CANCELED REFUNDED").await;
    next
}

/// Plays the story with a processor that dies at `place` and is started again.
async fn survive(place: String) {
    let mut world = World::start_with(&format!("fail {place}"), &[("FAILPOINT", &place)]).await;
    world.stripe.refund_mode(RefundMode::Instant);
    if place.starts_with("moved") {
        world.stripe.inject(Endpoint::CreateSession, Fault::status(503));
    }
    world.env.remove("FAILPOINT");
    let (invitee, second) = tokio::join!(story(&world), async {
        let status = world.processor.wait_exit(PATIENCE * 2).await;
        assert!(status.code().is_none(), "{place}: killed, not ended: {status:?}");
        Service::spawn(Binary::Processor, &world.env)
    });
    world.processor = second;
    assert!(world.stripe.webhooks_delivered(PATIENCE).await);
    let pending = "SELECT count(*) FROM stripe_operations WHERE state = 'pending'";
    eventually(PATIENCE, format!("{place}: nothing left to do"), async || {
        (world.database.query_one(pending, &[]).await.unwrap().get::<_, i64>(0) == 0).then_some(())
    })
    .await;
    assert_eq!((world.stripe.sessions().len(), world.stripe.refunds().len()), (1, 1), "{place}");
    let row = world.row(&invitee).await.unwrap();
    assert_eq!(row.get::<_, Option<&str>>("checkout_url"), None, "{place}");
    let rows: i64 = world.database.query_one("SELECT count(*) FROM bookings", &[]).await.unwrap().get(0);
    assert_eq!(rows, 1, "{place}");
    assert_eq!(ledger(&world).await, BTreeMap::from([("create_session".to_owned(), 1), ("refund".to_owned(), 1)]));
    assert_eq!(world.records("calendly.events.dlq").await.len(), 0, "{place}");
}

/// What was done at Stripe, by kind.
async fn ledger(world: &World) -> BTreeMap<String, i64> {
    let query = "SELECT kind, count(*) FROM stripe_operations WHERE state = 'done' GROUP BY kind";
    world.database.query(query, &[]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[tokio::test]
async fn a_processor_that_dies_at_any_step_leaves_no_trace() {
    let runs = futures_util::stream::iter(places().into_iter().map(survive));
    runs.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
}
