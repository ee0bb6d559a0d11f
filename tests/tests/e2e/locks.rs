//! Somebody else has locked a booking for a while.

use std::time::Duration;

use jiff::Timestamp;
use tests::calendly::Invitee;
use tests::eventually;
use tests::stripe::{Endpoint, Fault};

use crate::world::{PATIENCE, World};

/// A lease that began before the wait for the lock could run out while Stripe is still at work.
#[tokio::test]
async fn a_lease_begins_after_the_wait_for_the_booking() {
    let world = World::start("lease-after-lock").await;
    let invitee = Invitee::random();
    world.send(&invitee.created()).await;
    world.open_session(&invitee).await;
    let mut other = world.sandbox.database().await;
    let theirs = other.transaction().await.unwrap();
    theirs.execute("SELECT 1 FROM bookings WHERE invitee_uri = $1 FOR UPDATE", &[&invitee.uri]).await.unwrap();
    world.stripe.inject(Endpoint::ExpireSession, Fault::ExecuteThenHang);
    world.send(&invitee.canceled()).await;
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                   AND wait_event_type = 'Lock' AND clock_timestamp() - query_start > interval '1 second'";
    eventually(PATIENCE, "the processor to wait for a second", async || {
        (world.database.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) > 0).then_some(())
    })
    .await;
    let clock: Timestamp = world.database.query_one("SELECT clock_timestamp()", &[]).await.unwrap().get(0);
    theirs.commit().await.unwrap();
    let until = "SELECT lease_until FROM stripe_operations WHERE kind = 'expire_session' AND lease_until IS NOT NULL";
    let until: Timestamp = eventually(PATIENCE, "the expiry to be claimed", async || {
        world.database.query_opt(until, &[]).await.unwrap().map(|row| row.get(0))
    })
    .await;
    let lease = until.duration_since(clock).as_secs_f64();
    assert!(lease >= Duration::from_secs(15).as_secs_f64(), "{lease} s");
    world.stripe.release();
    world.booking(&invitee, "CANCELED UNPAID").await;
}

/// More bookings are locked than there are connections, by somebody's slow update of the whole table.
#[tokio::test]
async fn locked_bookings_do_not_keep_the_others_from_going_on() {
    let world = World::start_with("locked", &[("DATABASE_POOL_SIZE", "8")]).await;
    let locked: Vec<Invitee> = (0..16).map(|_| Invitee::random()).collect();
    for invitee in &locked {
        world.send(&invitee.created()).await;
    }
    for invitee in &locked {
        world.open_session(invitee).await;
    }
    let mut other = world.sandbox.database().await;
    let theirs = other.transaction().await.unwrap();
    theirs.execute("UPDATE bookings SET updated_at = now()", &[]).await.unwrap();
    for invitee in &locked {
        world.send(&invitee.canceled()).await;
    }
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    eventually(PATIENCE, "the processor to wait", async || {
        (world.database.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) > 0).then_some(())
    })
    .await;
    let free: Vec<Invitee> = (0..10).map(|_| Invitee::random()).collect();
    for invitee in &free {
        world.send(&invitee.created()).await;
    }
    for invitee in &free {
        eventually(Duration::from_secs(20), "a booking that nobody has locked", async || world.row(invitee).await)
            .await;
    }
    theirs.commit().await.unwrap();
    assert!(!world.processor.stderr().contains("no connection"), "{}", world.processor.stderr());
}
