//! The topic `bookings.changes` says what the table says, however its publishers die, and no booking ever goes back in it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use schemas::codec::decode_booking_with;
use schemas::{BookingState, SchemaIds};
use tests::calendly::Invitee;
use tests::{Binary, Service, eventually, run_calctl};
use uuid::Uuid;

use crate::world::{PATIENCE, World};

const TOPIC: &str = "bookings.changes";
/// What a publisher that was killed leaves open is aborted by its successor, or by the broker after 15 s.
const LONG: Duration = Duration::from_mins(1);

type States = BTreeMap<Uuid, Option<BookingState>>;

/// The latest record of each key. No record is older than one before it, and none is written to another's partition.
pub(crate) async fn latest(world: &World) -> States {
    let mut latest = States::new();
    let mut newest: BTreeMap<Uuid, (i32, Timestamp)> = BTreeMap::new();
    for record in world.records(TOPIC).await {
        let id: Uuid = record.key_str().unwrap().parse().unwrap();
        let state = (!record.value.is_empty())
            .then(|| decode_booking_with(&record.value, &SchemaIds::default()).expect("a state"));
        if let Some(state) = &state {
            assert_eq!(state.booking_id, id);
            let (partition, before) = newest.insert(id, (record.partition, state.updated_at)).unwrap_or_default();
            assert!(before <= state.updated_at, "{id} goes back from {before} to {}", state.updated_at);
            assert!(before == Timestamp::default() || partition == record.partition, "{id} has one partition");
        }
        latest.insert(id, state);
    }
    latest
}

/// The table, as the topic should have it: without those who were erased.
async fn table(world: &World) -> States {
    let rows = world.database.query("SELECT * FROM bookings WHERE erased_at IS NULL", &[]).await.unwrap();
    let state = |row: &tokio_postgres::Row| BookingState {
        booking_id: row.get("id"),
        reference: row.get("reference"),
        status: row.get("status"),
        payment_status: row.get("payment_status"),
        amount_minor: row.get("amount_minor"),
        currency: row.get("currency"),
        invitee_uri: row.get("invitee_uri"),
        invitee_email: row.get("invitee_email"),
        invitee_name: row.get("invitee_name"),
        event_uri: row.get("event_uri"),
        event_type_uri: row.get("event_type_uri"),
        event_name: row.get("event_name"),
        start_time: row.get("start_time"),
        end_time: row.get("end_time"),
        no_show: row.get("no_show"),
        checkout_session_id: row.get("checkout_session_id"),
        checkout_url: row.get("checkout_url"),
        payment_intent_id: row.get("payment_intent_id"),
        created_at: row.get("created_at"),
        updated_at: row.get("updated_at"),
    };
    rows.iter().map(|row| (row.get("id"), Some(state(row)))).collect()
}

/// Waits until everything is published, and compares. Bookings that are gone have a tombstone and no more.
pub(crate) async fn topic_is_as_the_table(world: &World) {
    let query = "SELECT count(*) FROM booking_changes";
    let until = Instant::now() + LONG;
    loop {
        eventually(LONG, "all changes to be published", async || {
            (world.database.query_one(query, &[]).await.unwrap().get::<_, i64>(0) == 0).then_some(())
        })
        .await;
        let (mut latest, table) = (latest(world).await, table(world).await);
        latest.retain(|id, state| state.is_some() || table.contains_key(id));
        // An event that is still on its way may change a row between the two looks.
        if latest == table || Instant::now() > until {
            assert_eq!(latest, table);
            return;
        }
    }
}

/// Somebody books, pays and cancels.
async fn story(world: &World) -> Invitee {
    let invitee = Invitee::random();
    world.paid(&invitee).await;
    world.send(&invitee.canceled()).await;
    eventually(PATIENCE, "a refund", async || {
        (world.row(&invitee).await?.get::<_, &str>("status") == "CANCELED").then_some(())
    })
    .await;
    invitee
}

#[tokio::test]
async fn every_change_is_published_the_callers_own_too() {
    let world = World::start("changes").await;
    let insert = "INSERT INTO bookings (reference) VALUES ('cart-7') RETURNING id";
    let own: Uuid = world.database.query_one(insert, &[]).await.unwrap().get(0);
    eventually(PATIENCE, "the caller's row in the topic", async || latest(&world).await.get(&own).cloned()).await;
    let invitee = Invitee::random().reference("cart-7");
    world.paid(&invitee).await;
    topic_is_as_the_table(&world).await;
    let state = latest(&world).await.remove(&own).unwrap().expect("it was not erased");
    assert_eq!((state.status.as_str(), state.payment_status.as_str()), ("CONFIRMED", "PAID"));
    assert_eq!(state.invitee_email.as_deref(), Some(invitee.email.as_str()));
    let metrics = world.processor.metrics().await;
    assert!(metrics.sum("booking_changes_published_total", &[("kind", "state")]) >= 2.0);
    assert!(metrics.has("booking_changes_pending", &[]) && metrics.has("booking_changes_oldest_pending_seconds", &[]));
}

#[tokio::test]
async fn a_booking_that_is_merged_into_another_gets_a_tombstone() {
    let world = World::start("changes-merged").await;
    let (first, second) = (Invitee::random(), Invitee::random());
    world.send(&first.created()).await;
    world.send(&second.created()).await;
    world.open_session(&first).await;
    world.open_session(&second).await;
    let ids: Vec<Uuid> = table(&world).await.into_keys().collect();
    assert_eq!(ids.len(), 2);
    topic_is_as_the_table(&world).await;
    // The second turns out to be where the first went.
    let (left, created) = first.reschedule_pair(&second);
    world.send(&left).await;
    world.send(&created).await;
    let rows = "SELECT count(*) FROM bookings";
    eventually(PATIENCE, "one booking", async || {
        (world.database.query_one(rows, &[]).await.unwrap().get::<_, i64>(0) == 1).then_some(())
    })
    .await;
    topic_is_as_the_table(&world).await;
    let latest = latest(&world).await;
    assert_eq!(ids.iter().filter(|id| latest[*id].is_none()).count(), 1, "{latest:?}");
}

/// A publisher that dies after reading, and one that dies when the brokers have the records and the outbox does not know.
#[tokio::test]
async fn a_publisher_that_dies_leaves_no_gap() {
    for place in ["changes-read:2", "changes-published:1", "changes-published:3"] {
        let mut world = World::start_with(&format!("changes {place}"), &[("FAILPOINT", place)]).await;
        world.env.remove("FAILPOINT");
        let (_, second) = tokio::join!(story(&world), async {
            // Under load a story is told in fewer turns than it takes to die.
            let touch = "UPDATE bookings SET updated_at = clock_timestamp()";
            let status = eventually(PATIENCE * 2, "the publisher to die", async || {
                world.database.execute(touch, &[]).await.unwrap();
                world.processor.exited()
            })
            .await;
            assert!(status.code().is_none(), "{place}: killed, not ended: {status:?}");
            Service::spawn(Binary::Processor, &world.env)
        });
        world.processor = second;
        world.processor.wait_ready(PATIENCE).await;
        topic_is_as_the_table(&world).await;
    }
}

/// The worst that can happen: a publisher is frozen, loses its lock, another goes on, and then the first wakes up.
#[tokio::test]
async fn a_publisher_that_was_frozen_writes_nothing_old() {
    let world = World::start("changes-frozen").await;
    let rows = "INSERT INTO bookings (reference) SELECT 'cart-' || number FROM generate_series(1, 200) AS number";
    let change = "UPDATE bookings SET no_show = NOT no_show, updated_at = clock_timestamp()";
    let publisher = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 \
                     AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
                     AND (classid::bigint << 32) + objid::bigint = 7263548102";
    world.database.execute(rows, &[]).await.unwrap();
    for _ in 0..4 {
        let pid: i32 = eventually(PATIENCE, "a publisher", async || {
            Some(world.database.query_opt(publisher, &[]).await.unwrap()?.get(0))
        })
        .await;
        // There is always something to publish, so that it is frozen anywhere in a turn.
        for _ in 0..20 {
            world.database.execute(change, &[]).await.unwrap();
        }
        world.processor.freeze();
        // As the server does by itself when the session was idle for 30 s.
        world.database.execute("SELECT pg_terminate_backend($1)", &[&pid]).await.unwrap();
        let second = Service::spawn(Binary::Processor, &world.env);
        world.database.execute(change, &[]).await.unwrap();
        topic_is_as_the_table(&world).await;
        world.processor.thaw();
        second.sigterm();
        second.wait_exit(LONG).await;
        world.processor.wait_ready(PATIENCE).await;
        world.database.execute(change, &[]).await.unwrap();
        topic_is_as_the_table(&world).await;
    }
}

/// The database of a release that published nothing.
const UNDO: &str = "DROP FUNCTION note_booking_changes() CASCADE; DROP TABLE booking_changes; \
                    ALTER TABLE bookings DROP COLUMN erased_at; DELETE FROM refinery_schema_history WHERE version >= 3";

#[tokio::test]
async fn bookings_of_before_are_published_once() {
    let mut world = World::start("changes-migrated").await;
    let invitee = story(&world).await;
    world.paid(&Invitee::random()).await;
    topic_is_as_the_table(&world).await;
    world.processor.sigterm();
    assert_eq!(world.processor.wait_exit(PATIENCE).await.code(), Some(0), "{}", world.processor.stderr());
    world.database.batch_execute(UNDO).await.unwrap();
    world.database.execute("INSERT INTO bookings (reference) VALUES ('cart-8')", &[]).await.unwrap();
    let before = world.records(TOPIC).await.len();

    let migrated = run_calctl(&["db", "migrate"], &world.env).await;
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    world.processor = Service::spawn(Binary::Processor, &world.env);
    world.processor.wait_ready(PATIENCE).await;
    topic_is_as_the_table(&world).await;
    assert_eq!(world.records(TOPIC).await.len(), before + 3);

    world.send(&invitee.no_show(true)).await;
    eventually(PATIENCE, "a change of one of them", async || {
        world.row(&invitee).await?.get::<_, bool>("no_show").then_some(())
    })
    .await;
    topic_is_as_the_table(&world).await;
}
