//! What Calendly did not deliver is fetched: by ingest after a subscription was disabled, and by `calctl backfill`.

mod command;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use tests::calendly::{Delivery, Invitee};
use tests::calendly_api::{CalendlyDouble, Fault, Taken};
use tests::kafka::Message;
use tests::sandbox::{Env, NO_STRIPE};
use tests::stripe::Endpoint;
use tests::{Binary, Sandbox, Service, eventually, run_calctl, story};

use crate::world::{PATIENCE, World};

const PUBLIC_URL: &str = "https://hooks.example";
const HOUR: SignedDuration = SignedDuration::from_hours(1);
const OPEN: &str = "calendly_backfill_open";

fn ago(hours: i32) -> Timestamp {
    Timestamp::now() - HOUR * hours
}

fn booked(seed: u64, hours: i32) -> Invitee {
    let mut invitee = Invitee::new(seed).booked_at(ago(hours));
    invitee.start = ago(-48);
    invitee.end = invitee.start + HOUR;
    invitee
}

fn watched(double: &CalendlyDouble) -> Vec<(String, String)> {
    let interval = ("CALENDLY_WATCH_INTERVAL".to_owned(), "200ms".to_owned());
    double.env(PUBLIC_URL).into_iter().chain([interval]).collect()
}

/// The one active subscription, other than `old`.
async fn active(double: &CalendlyDouble, old: Option<&str>) -> String {
    eventually(PATIENCE, "one active subscription", async || {
        let all = double.subscriptions();
        let [one] = all.as_slice() else { return None };
        let uri = one["uri"].as_str().unwrap().to_owned();
        (one["state"] == "active" && old != Some(uri.as_str())).then_some(uri)
    })
    .await
}

async fn nothing_is_missing(ingest: &Service) {
    eventually(PATIENCE, "no gap to be open", async || {
        let metrics = ingest.metrics().await;
        (metrics.has(OPEN, &[]) && metrics.sum(OPEN, &[]) == 0.0).then_some(())
    })
    .await;
}

/// A day at Calendly of which hardly anything was delivered.
struct Day {
    /// Everybody, as they stand in the end.
    standing: Vec<(Invitee, story::Outcome)>,
    /// Delivered before it began.
    before: Vec<Delivery>,
    /// What happened in it, as Calendly would have delivered it.
    missed: Vec<Delivery>,
}

/// 50 bookings, 10 cancellations and 5 reschedules, among 15 bookings of the time before and 240 that nothing happens to.
fn a_day(double: &CalendlyDouble) -> Day {
    let (open, canceled) = (("PENDING_PAYMENT", "UNPAID", 1, 0), ("CANCELED", "UNPAID", 0, 0));
    let mut day = Day { standing: Vec::new(), before: Vec::new(), missed: Vec::new() };
    for seed in 0..240 {
        double.book(&booked(1_000_000 + seed, 300));
    }
    for seed in 0..65 {
        let invitee = booked(rand::random(), if seed < 15 { 40 } else { 15 });
        double.book(&invitee);
        let deliveries = if seed < 15 { &mut day.before } else { &mut day.missed };
        deliveries.push(invitee.created());
        match seed {
            0..7 | 15..18 => {
                double.cancel(&invitee, ago(9));
                day.missed.push(invitee.canceled().occurred(ago(9)));
                day.standing.push((invitee, canceled));
            }
            7..10 | 18..20 => {
                let mut moved = invitee.moved();
                moved.booked_at = ago(8);
                double.reschedule(&invitee, &moved);
                let (from, to) = invitee.reschedule_pair(&moved);
                day.missed.extend([from, to]);
                day.standing.push((moved, open));
            }
            _ => day.standing.push((invitee, open)),
        }
    }
    day
}

fn count(records: &[Message], event_type: &str) -> usize {
    records.iter().filter(|record| record.header("event-type") == Some(event_type)).count()
}

async fn all_stand(world: &World, day: &Day) {
    for (invitee, expected) in &day.standing {
        let what = format!("{} to be {expected:?}", invitee.email);
        let outcome = async || story::outcome(&world.database, &world.stripe, invitee).await;
        eventually(PATIENCE, what, async || (outcome().await? == *expected).then_some(())).await;
        let row = world.row(invitee).await.unwrap();
        assert_eq!(row.get::<_, String>("invitee_email"), invitee.email);
        assert_eq!(row.get::<_, String>("event_uri"), invitee.event_uri);
    }
    let rows: i64 = world.database.query_one("SELECT count(*) FROM bookings", &[]).await.unwrap().get(0);
    assert_eq!(usize::try_from(rows).unwrap(), day.standing.len());
    assert_eq!(world.stripe.executions(Endpoint::CreateSession), day.standing.len(), "one session for each booking");
}

#[tokio::test]
async fn a_day_without_deliveries_is_fetched_and_nothing_counts_twice() {
    let double = CalendlyDouble::start().await;
    double.taken(Taken::ByActive);
    let env = watched(&double);
    let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let world = World::start_with("backfill", &env).await;
    let old = active(&double, None).await;
    nothing_is_missing(&world.ingest).await;

    let day = a_day(&double);
    for delivery in day.before.iter().chain(day.missed.iter().step_by(11)) {
        world.send(delivery).await;
    }
    double.retrying_since(&old, Some(&ago(18).to_string()));
    double.disable(&old);
    active(&double, Some(&old)).await;
    nothing_is_missing(&world.ingest).await;

    let records = world.records("calendly.events").await;
    let fetched: Vec<Message> =
        records.iter().filter(|record| record.header("backfilled") == Some("true")).cloned().collect();
    let counts = ["invitee.created", "invitee.canceled", "invitee_no_show.created"].map(|one| count(&fetched, one));
    assert_eq!(counts, [55, 15, 0]);
    let told = world.ingest.metrics().await;
    assert_eq!(told.sum("calendly_backfilled_events_total", &[("event_type", "invitee.created")]), 55.0);
    assert_eq!(told.sum("calendly_backfilled_events_total", &[]), 70.0);
    let pages = double.requests().into_iter().filter(|request| request.query.contains_key("page_token")).count();
    assert!(pages >= 3, "{pages} pages");
    let asked: BTreeSet<_> =
        double.requests().into_iter().map(|request| request.path).filter(|path| path.ends_with("/invitees")).collect();
    assert_eq!(asked.len(), 70 - 5, "meetings that have not changed are not asked about");
    all_stand(&world, &day).await;

    // Calendly comes again with some all the same.
    for delivery in day.missed.iter().step_by(3) {
        world.send(delivery).await;
    }
    let happened = i64::try_from(day.before.len() + day.missed.len()).unwrap();
    let ids = by_id(&world.records("calendly.events").await).len();
    assert_eq!(i64::try_from(ids).unwrap(), happened, "an id for each happening");
    world.processed("duplicate", f64::from(u32::try_from(day.missed.len().div_ceil(3)).unwrap())).await;
    all_stand(&world, &day).await;
    let facts = "SELECT count(*) FROM booking_events WHERE event_type LIKE 'invitee.%'";
    assert_eq!(world.database.query_one(facts, &[]).await.unwrap().get::<_, i64>(0), happened);
    assert_eq!(world.records("calendly.events.dlq").await.len(), 0);
    let audit = run_calctl(&["audit", "--since", "1h"], &world.env).await;
    assert!(audit.status.success(), "{audit:?}");
}

/// Keys by id: an event that was delivered and fetched has one.
fn by_id(records: &[Message]) -> BTreeMap<String, String> {
    let mut keys = BTreeMap::new();
    for record in records {
        let (id, key) = (record.header("event-id").unwrap().to_owned(), record.key_str().unwrap().to_owned());
        assert_eq!(keys.entry(id).or_insert_with(|| key.clone()), &key);
    }
    keys
}

async fn lone_ingest(name: &str, double: &CalendlyDouble) -> (Sandbox, Env) {
    let sandbox = Sandbox::new(name).await;
    let mut env = sandbox.env(NO_STRIPE);
    env.extend(watched(double));
    (sandbox, env)
}

async fn fetched(sandbox: &Sandbox, wanted: &[&Invitee]) {
    let wanted: BTreeSet<&str> = wanted.iter().map(|invitee| invitee.uri.as_str()).collect();
    eventually(PATIENCE, "the events of the gap", async || {
        let topic = sandbox.topic("calendly.events");
        let records = tests::kafka::read_all(sandbox.brokers(), &topic, tests::kafka::Isolation::Committed).await;
        let fetched = records.iter().filter(|record| record.header("backfilled") == Some("true"));
        (fetched.filter_map(Message::key_str).collect::<BTreeSet<_>>() == wanted).then_some(())
    })
    .await;
}

/// The disabled subscription is the mark of the gap: it outlives whoever was to fill it.
#[tokio::test]
async fn a_gap_outlives_the_process_that_was_to_fill_it() {
    for (taken, name) in [(Taken::ByActive, "backfill-killed"), (Taken::ByAny, "backfill-killed-taken")] {
        let double = CalendlyDouble::start().await;
        double.taken(taken);
        let (sandbox, env) = lone_ingest(name, &double).await;
        let (early, late) = (booked(1, 50), booked(2, 30));
        for invitee in [&early, &late] {
            double.book(invitee);
        }
        let old = double.add("https://hooks.example/webhooks/calendly", &["invitee.created"]);
        double.retrying_since(&old, Some(&ago(52).to_string()));
        double.disable(&old);
        for _ in 0..200 {
            double.inject("GET", "/scheduled_events", Fault::Status(503));
        }
        let ingest = Service::spawn(Binary::Ingest, &env);
        eventually(PATIENCE, "a try", async || {
            double.requests().iter().any(|request| request.path == "/scheduled_events").then_some(())
        })
        .await;
        eventually(PATIENCE, "the gap to be open", async || {
            (ingest.metrics().await.sum(OPEN, &[]) == 1.0).then_some(())
        })
        .await;
        assert!(double.subscriptions().iter().any(|one| one["uri"] == old.as_str()), "it is there still");
        ingest.sigkill();
        ingest.wait_exit(PATIENCE).await;
        double.clear_faults();

        let ingest = Service::spawn(Binary::Ingest, &env);
        active(&double, Some(&old)).await;
        fetched(&sandbox, &[&early, &late]).await;
        nothing_is_missing(&ingest).await;
        // What is filled is not filled again.
        let looks = double.requests().len();
        eventually(PATIENCE, "a few more looks", async || (double.requests().len() > looks + 4).then_some(())).await;
        let requests = double.requests();
        assert!(requests[looks..].iter().all(|request| request.path == "/webhook_subscriptions"), "{taken:?}");
    }
}

/// Deliveries matter more than what Calendly will not tell.
#[tokio::test]
async fn a_subscription_comes_back_though_meetings_may_not_be_listed() {
    let double = CalendlyDouble::start().await;
    let (_sandbox, env) = lone_ingest("backfill-forbidden", &double).await;
    let old = double.add("https://hooks.example/webhooks/calendly", &["invitee.created"]);
    double.disable(&old);
    double.inject("GET", "/scheduled_events", Fault::Status(403));
    let ingest = Service::spawn(Binary::Ingest, &env);
    active(&double, Some(&old)).await;
    nothing_is_missing(&ingest).await;
    assert!(ingest.stderr().contains("cannot be fetched now"), "{}", ingest.stderr());
}

#[tokio::test]
async fn nothing_is_fetched_where_it_is_switched_off() {
    let double = CalendlyDouble::start().await;
    let (_sandbox, mut env) = lone_ingest("backfill-off", &double).await;
    env.insert("CALENDLY_BACKFILL".to_owned(), "off".to_owned());
    double.book(&booked(1, 3));
    let old = double.add("https://hooks.example/webhooks/calendly", &["invitee.created"]);
    double.disable(&old);
    let _ingest = Service::spawn(Binary::Ingest, &env);
    active(&double, Some(&old)).await;
    let looks = double.requests().len();
    eventually(PATIENCE, "a few more looks", async || (double.requests().len() > looks + 4).then_some(())).await;
    assert!(double.requests().iter().all(|request| !request.path.starts_with("/scheduled_events")));
}
