//! A database that has just been installed knows nothing of its tables' sizes yet, and must still be asked by index: a
//! plan that reads whole tables is quick at first, stays in use, and grows slower with every booking.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use tests::calendly::Invitee;
use tests::{Binary, Service, eventually};

use crate::world::{PATIENCE, World};

const BOOKINGS: u32 = 60;

/// By table: scans from end to end, and rows that were added or changed.
async fn scans_and_writes(world: &World) -> BTreeMap<String, (i64, i64)> {
    let query = "SELECT relname::text, coalesce(seq_scan, 0), n_tup_ins + n_tup_upd FROM pg_stat_user_tables \
                 WHERE relname IN ('bookings', 'booking_events', 'booking_invitees', 'stripe_operations')";
    let rows = world.database.query(query, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect()
}

#[tokio::test]
async fn no_event_reads_a_whole_table() {
    let mut world = World::start("plans").await;
    // A session that migrates reads whole tables, and tells so some seconds later, at the latest when it ends.
    world.processor.sigterm();
    world.processor.wait_exit(PATIENCE).await;
    eventually(PATIENCE, "the end of all other sessions", async || {
        let query = "SELECT count(*) FROM pg_stat_activity \
                     WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
        (world.database.query_one(query, &[]).await.unwrap().get::<_, i64>(0) == 0).then_some(())
    })
    .await;
    world.processor = Service::spawn(Binary::Processor, &world.env);
    world.processor.wait_ready(PATIENCE).await;
    let before = scans_and_writes(&world).await;
    let deliveries: Vec<_> = (0..BOOKINGS).map(|_| Invitee::random().created()).collect();
    // In small groups, so that there are many transactions.
    for group in deliveries.chunks(3) {
        join_all(group.iter().map(|delivery| world.send(delivery))).await;
    }
    world.processed("applied", f64::from(BOOKINGS)).await;
    // A session tells its numbers some seconds late, those of all tables together. Each booking is written twice: when it
    // is made, and with its Checkout session.
    let after = eventually(PATIENCE, "numbers of all sessions", async || {
        let now = scans_and_writes(&world).await;
        let is_written = |table: &str| now[table].1 - before[table].1 >= 2 * i64::from(BOOKINGS);
        (is_written("bookings") && is_written("stripe_operations")).then_some(now)
    })
    .await;
    for (table, (scans, _)) in after {
        assert_eq!(scans, before[&table].0, "{table} was read from end to end");
    }
}
