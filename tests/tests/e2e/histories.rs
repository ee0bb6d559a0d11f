//! Many histories at once, each delivered shuffled and duplicated, against a model that plays them in order.

use std::time::Duration;

use futures_util::StreamExt;
use tests::calendly::Invitee;
use tests::story::{Model, Outcome, Story};
use tests::stripe::RefundMode;
use tests::{Binary, Service, eventually};

use crate::changes::topic_is_as_the_table;
use crate::world::{PATIENCE, World};

const HISTORIES: u64 = 300;
const KILLED_HISTORIES: u64 = 60;
/// A killed processor's leases and memberships run out in some seconds, again and again.
const LONG: Duration = Duration::from_mins(2);
const AT_ONCE: usize = 24;

async fn deliver(world: &World, story: &mut Story) {
    let deliveries = story.take_deliveries();
    futures_util::future::join_all(deliveries.iter().map(|delivery| world.send(delivery))).await;
}

async fn play(world: &World, number: u64) -> (Invitee, Model) {
    let mut story = Story::begin(number);
    deliver(world, &mut story).await;
    if story.wants_to_pay() {
        pay(world, &story).await;
        story.paid();
        deliver(world, &mut story).await;
    }
    settled(world, &story.invitee, story.model).await;
    (story.invitee, story.model)
}

/// The customer pays whatever session is shown; one that was replaced meanwhile cannot be paid, and they try again.
async fn pay(world: &World, story: &Story) {
    eventually(LONG, "a session that can be paid", async || {
        let session = story.session(&world.database).await?;
        world.stripe.pay(&session).ok()
    })
    .await;
}

async fn settled(world: &World, invitee: &Invitee, model: Model) {
    let what = format!("{invitee:?} to be {:?}", model.outcome());
    eventually(LONG, what, async || (outcome(world, invitee).await? == model.outcome()).then_some(())).await;
}

async fn outcome(world: &World, invitee: &Invitee) -> Option<Outcome> {
    tests::story::outcome(&world.database, &world.stripe, invitee).await
}

async fn play_all(world: &World, count: u64) -> Vec<(Invitee, Model)> {
    world.stripe.refund_mode(RefundMode::Instant);
    world.stripe.deliver_duplicates(1);
    world.stripe.shuffle(7);
    let played = futures_util::stream::iter((0..count).map(|number| play(world, number)));
    let played = played.buffer_unordered(AT_ONCE).collect().await;
    assert!(world.stripe.webhooks_delivered(PATIENCE).await);
    played
}

async fn no_operation_is_pending(world: &World) -> bool {
    let query = "SELECT count(*) FROM stripe_operations WHERE state = 'pending'";
    world.database.query_one(query, &[]).await.unwrap().get::<_, i64>(0) == 0
}

async fn all_is_as_told(world: &World, played: &[(Invitee, Model)]) {
    for (invitee, model) in played {
        assert_eq!(outcome(world, invitee).await, Some(model.outcome()), "{invitee:?}");
    }
    let rows: i64 = world.database.query_one("SELECT count(*) FROM bookings", &[]).await.unwrap().get(0);
    assert_eq!(usize::try_from(rows).unwrap(), played.len());
    assert_eq!(world.records("calendly.events.dlq").await.len(), 0);
    // A payment that goes back goes back once.
    let mut payments: Vec<_> = world.stripe.refunds().into_iter().map(|refund| refund.payment_intent).collect();
    let refunds = payments.len();
    payments.sort_unstable();
    payments.dedup();
    assert_eq!(payments.len(), refunds);
    topic_is_as_the_table(world).await;
}

#[tokio::test]
async fn shuffled_and_duplicated_histories_end_as_if_in_order() {
    let world = World::start_with("histories", &[("DATABASE_POOL_SIZE", "16")]).await;
    let played = play_all(&world, HISTORIES).await;
    // Once everything that was sent has been processed, nothing may have changed again.
    let sent = world.records("calendly.events").await.len() + world.records("stripe.events").await.len();
    eventually(PATIENCE, "every record to be processed", async || {
        let released = world.records("calendly.events.due").await.len();
        let expected = f64::from(u32::try_from(sent + released).unwrap());
        let finished = world.processor.metrics().await.sum("events_processed_total", &[]);
        (finished >= expected && no_operation_is_pending(&world).await).then_some(())
    })
    .await;
    all_is_as_told(&world, &played).await;
}

/// Two processors share the work, and every few seconds one of them is killed wherever it happens to be.
#[tokio::test]
async fn histories_survive_processors_that_are_killed() {
    let world = World::start_with("killed-histories", &[("DATABASE_POOL_SIZE", "8")]).await;
    let stop = tokio_util::sync::CancellationToken::new();
    let killing = async {
        // With a name of its own, its successor takes over its partitions at once.
        let mut env = world.env.clone();
        env.insert("KAFKA_INSTANCE_ID".to_owned(), "mortal".to_owned());
        let mut first = Service::spawn(Binary::Processor, &env);
        let mut kills = 0;
        while !stop.is_cancelled() {
            let _ = tokio::time::timeout(Duration::from_secs(4), stop.cancelled()).await;
            first.sigkill();
            first.wait_exit(PATIENCE).await;
            first = Service::spawn(Binary::Processor, &env);
            kills += 1;
        }
        (first, kills)
    };
    let playing = async {
        let played = play_all(&world, KILLED_HISTORIES).await;
        stop.cancel();
        played
    };
    let (played, (survivor, kills)) = tokio::join!(playing, killing);
    assert!(kills >= 2, "{kills}");
    survivor.wait_ready(PATIENCE).await;
    eventually(LONG, "every record to be processed", async || {
        let mut lag = 0.0;
        for processor in [&world.processor, &survivor] {
            let metrics = processor.metrics().await;
            // Reported every few seconds: before that nothing is known.
            metrics.has("consumer_lag_records", &[]).then_some(())?;
            lag += metrics.sum("consumer_lag_records", &[]);
        }
        (lag == 0.0 && no_operation_is_pending(&world).await).then_some(())
    })
    .await;
    all_is_as_told(&world, &played).await;
}
