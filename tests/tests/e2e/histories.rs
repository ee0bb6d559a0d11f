//! Many histories at once, each delivered shuffled and duplicated, against a model that plays them in order.

use std::time::Duration;

use futures_util::StreamExt;
use jiff::{SignedDuration, Timestamp};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use tests::calendly::{Delivery, Invitee};
use tests::stripe::RefundMode;
use tests::{Binary, Service, eventually};

use crate::world::{PATIENCE, World};

const HISTORIES: u64 = 300;
const KILLED_HISTORIES: u64 = 60;
/// A killed processor's leases and memberships run out in some seconds, again and again.
const LONG: Duration = Duration::from_mins(2);
const AT_ONCE: usize = 24;

/// What a business would say that the booking is, having watched it.
#[derive(Clone, Copy, Debug, Default)]
struct Model {
    active: bool,
    paid: bool,
    was_paid: bool,
}

impl Model {
    fn create_or_move(&mut self) {
        self.active = true;
    }

    fn cancel(&mut self) {
        self.active = false;
        self.paid = false;
    }

    fn pay(&mut self) {
        self.paid = true;
        self.was_paid = true;
    }

    /// Status, payment status, live sessions, net money.
    fn outcome(self) -> (&'static str, &'static str, usize, i64) {
        match (self.active, self.paid) {
            (true, true) => ("CONFIRMED", "PAID", 0, 5000),
            (true, false) => ("PENDING_PAYMENT", "UNPAID", 1, 0),
            (false, _) => ("CANCELED", if self.was_paid { "REFUNDED" } else { "UNPAID" }, 0, 0),
        }
    }
}

/// One booking's story so far: who it is about, and what is still to be delivered.
struct Story {
    invitee: Invitee,
    model: Model,
    at: Timestamp,
    deliveries: Vec<Delivery>,
}

impl Story {
    fn begin(seed: u64) -> Self {
        let at = Timestamp::now() - SignedDuration::from_mins(10);
        let invitee = Invitee::new(seed);
        let mut story = Self { deliveries: Vec::new(), model: Model::default(), at, invitee };
        story.tell(story.invitee.created());
        story.model.create_or_move();
        story
    }

    fn tell(&mut self, delivery: Delivery) {
        self.deliveries.push(delivery.occurred(self.at));
    }

    /// The next thing that happens: a reschedule, told one way or the other, or a cancellation.
    fn go_on(&mut self, rng: &mut StdRng) {
        self.at += SignedDuration::from_millis(1500);
        if self.model.active && rng.random_bool(0.4) {
            self.tell(self.invitee.canceled());
            self.model.cancel();
            return;
        }
        let next = self.invitee.moved();
        if self.model.active && rng.random_bool(0.6) {
            let (left, created) = self.invitee.reschedule_pair(&next);
            self.tell(left);
            self.tell(created);
        } else {
            self.tell(next.rescheduled_event());
        }
        self.model.create_or_move();
        self.invitee = next;
    }

    /// Delivers all of it in any order, some of it twice.
    async fn deliver(&mut self, world: &World, rng: &mut StdRng) {
        let mut deliveries = std::mem::take(&mut self.deliveries);
        let again: Vec<_> = deliveries.iter().filter(|_| rng.random_bool(0.4)).cloned().collect();
        deliveries.extend(again);
        deliveries.shuffle(rng);
        futures_util::future::join_all(deliveries.iter().map(|delivery| world.send(delivery))).await;
    }
}

async fn play(world: &World, number: u64) -> (Invitee, Model) {
    let mut rng = StdRng::seed_from_u64(number);
    let mut story = Story::begin(0xbeef_0000 + number);
    for _ in 0..rng.random_range(0..3) {
        story.go_on(&mut rng);
    }
    story.deliver(world, &mut rng).await;
    if story.model.active && rng.random_bool(0.7) {
        pay(world, &story.invitee).await;
        story.model.pay();
        // What follows the payment follows it in time, by more than Stripe's whole seconds.
        story.at = Timestamp::now() + SignedDuration::from_secs(3);
        for _ in 0..rng.random_range(0..3) {
            story.go_on(&mut rng);
        }
        story.deliver(world, &mut rng).await;
    }
    settled(world, &story.invitee, story.model).await;
    (story.invitee, story.model)
}

/// The customer pays whatever session is shown; one that was replaced meanwhile cannot be paid, and they try again.
async fn pay(world: &World, invitee: &Invitee) {
    eventually(LONG, "a session that can be paid", async || {
        let session = world.row(invitee).await?.get::<_, Option<String>>("checkout_session_id")?;
        world.stripe.pay(&session).ok()
    })
    .await;
}

async fn settled(world: &World, invitee: &Invitee, model: Model) {
    let what = format!("{invitee:?} to be {:?}", model.outcome());
    eventually(LONG, what, async || (outcome(world, invitee).await? == model.outcome()).then_some(())).await;
}

async fn outcome(world: &World, invitee: &Invitee) -> Option<(&'static str, &'static str, usize, i64)> {
    let row = world.row(invitee).await?;
    let known = |text: String, words: &[&'static str]| words.iter().copied().find(|word| *word == text);
    let status = known(row.get("status"), &["PENDING_PAYMENT", "CONFIRMED", "CANCELED"])?;
    let payment = known(row.get("payment_status"), &["UNPAID", "PAID", "REFUNDED"])?;
    // Stripe may hold money under the id of a booking that was merged into this one.
    let mut ids = vec![row.get::<_, uuid::Uuid>("id")];
    let aliases = world.database.query("SELECT alias FROM booking_aliases WHERE booking_id = $1", &[&ids[0]]).await;
    ids.extend(aliases.unwrap().iter().map(|row| row.get::<_, uuid::Uuid>(0)));
    let summary = world.stripe.summary();
    let money: Vec<_> = ids.iter().filter_map(|id| summary.get(&id.to_string())).collect();
    let (live, net) = (money.iter().map(|m| m.live_sessions).sum(), money.iter().map(|m| m.net()).sum());
    Some((status, payment, live, net))
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
