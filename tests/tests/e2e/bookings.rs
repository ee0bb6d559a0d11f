//! Bookings and money, from the webhook to the row and to what Stripe holds.

use jiff::Timestamp;
use tests::calendly::Invitee;
use tests::run_calctl;
use tests::stripe::{Endpoint, Fault, RefundMode, RefundStatus};

use crate::world::World;

#[tokio::test]
async fn booked_and_paid() {
    let world = World::start("booked-and-paid").await;
    let invitee = Invitee::random();
    let payment = world.paid(&invitee).await;
    let row = world.booking(&invitee, "CONFIRMED PAID").await;
    assert_eq!(row.get::<_, Option<String>>("payment_intent_id").as_deref(), Some(payment.as_str()));
    assert_eq!((row.get("amount_minor"), row.get("currency")), (Some(5000_i64), Some("usd")));
    assert_eq!(row.get::<_, Option<&str>>("invitee_email"), Some(invitee.email.as_str()));
    assert_eq!(row.get::<_, Option<&str>>("event_uri"), Some(invitee.event_uri.as_str()));
    assert_eq!(row.get::<_, Option<Timestamp>>("start_time"), Some(invitee.start));
    assert_eq!(row.get::<_, Option<&str>>("checkout_url"), None, "nothing is left to pay");
    let sessions = world.stripe.sessions();
    assert_eq!(sessions.len(), 1);
    let id: uuid::Uuid = row.get("id");
    assert_eq!(sessions[0].client_reference_id.as_deref(), Some(id.to_string().as_str()));
}

#[tokio::test]
async fn a_duplicate_delivery_changes_nothing() {
    let world = World::start("duplicate").await;
    let invitee = Invitee::random();
    let delivery = invitee.created();
    world.send(&delivery).await;
    world.open_session(&invitee).await;
    world.send(&delivery).await;
    // The same happening, told by another subscription.
    world.send(&delivery.created_by("https://api.calendly.com/users/SOMEBODYELSE")).await;
    world.processed("duplicate", 2.0).await;
    assert_eq!(world.stripe.sessions().len(), 1);
    let ids: Vec<_> =
        world.records("calendly.events").await.iter().map(|m| m.header("event-id").unwrap().to_owned()).collect();
    assert_eq!(ids.len(), 3);
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

#[tokio::test]
async fn a_reschedule_moves_the_booking_and_charges_nothing() {
    for created_first in [false, true] {
        let world = World::start("reschedule").await;
        let invitee = Invitee::random();
        let payment = world.paid(&invitee).await;
        let before = world.row(&invitee).await.unwrap();
        let moved = invitee.moved();
        let (canceled, created) = invitee.reschedule_pair(&moved);
        for delivery in if created_first { [&created, &canceled] } else { [&canceled, &created] } {
            world.send(delivery).await;
        }
        let after = world.booking(&moved, "CONFIRMED PAID").await;
        // Both halves must be in before anything can be said to have stayed away.
        world.processed("applied", 4.0).await;
        assert_eq!(after.get::<_, uuid::Uuid>("id"), before.get::<_, uuid::Uuid>("id"));
        assert_eq!(after.get::<_, Option<String>>("payment_intent_id"), Some(payment));
        assert_eq!(after.get::<_, Option<&str>>("event_uri"), Some(moved.event_uri.as_str()));
        assert_eq!((world.stripe.sessions().len(), world.stripe.refunds().len()), (1, 0));
        let rows = world.database.query("SELECT 1 FROM bookings", &[]).await.unwrap();
        assert_eq!(rows.len(), 1);
        // A reschedule's `created` goes where the original went.
        let keys: Vec<_> =
            world.records("calendly.events").await.iter().map(|m| m.key_str().unwrap().to_owned()).collect();
        assert_eq!(keys, vec![invitee.uri.clone(); 3]);
    }
}

#[tokio::test]
async fn the_single_event_form_of_a_reschedule() {
    let world = World::start("rescheduled-event").await;
    let invitee = Invitee::random();
    world.paid(&invitee).await;
    let moved = invitee.moved();
    world.send(&moved.rescheduled_event()).await;
    world.booking(&moved, "CONFIRMED PAID").await;
    assert_eq!((world.stripe.sessions().len(), world.stripe.refunds().len()), (1, 0));
}

#[tokio::test]
async fn a_cancel_refunds_once_and_waits_for_stripes_word() {
    let world = World::start("cancel-refund").await;
    world.stripe.refund_mode(RefundMode::Pending);
    let invitee = Invitee::random();
    world.paid(&invitee).await;
    let cancel = invitee.canceled();
    world.send(&cancel).await;
    world.booking(&invitee, "CANCELED REFUND_PENDING").await;
    world.send(&cancel).await;
    world.processed("duplicate", 1.0).await;
    let refund = tests::eventually(crate::world::PATIENCE, "a refund", async || world.stripe.refunds().pop()).await;
    world.booking(&invitee, "CANCELED REFUND_PENDING").await;
    world.stripe.settle_refund(&refund.id, RefundStatus::Succeeded).unwrap();
    world.booking(&invitee, "CANCELED REFUNDED").await;
    assert_eq!(world.stripe.refunds().len(), 1);
    let money = world.stripe.summary().into_values().next().unwrap();
    assert_eq!((money.paid, money.refunded, money.net(), money.live_sessions), (5000, 5000, 0, 0));
}

#[tokio::test]
async fn a_cancel_expires_the_open_session() {
    let world = World::start("cancel-unpaid").await;
    let invitee = Invitee::random();
    world.send(&invitee.created()).await;
    let session = world.open_session(&invitee).await;
    world.send(&invitee.canceled()).await;
    let row = world.booking(&invitee, "CANCELED UNPAID").await;
    assert_eq!(row.get::<_, Option<&str>>("checkout_url"), None);
    tests::eventually(crate::world::PATIENCE, "the session to expire", async || {
        world.stripe.pay(&session).is_err().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_free_booking_is_confirmed_at_once() {
    let world = World::start("free").await;
    let free_type = "https://api.calendly.com/event_types/FREE";
    let output = run_calctl(&["prices", "set", free_type, "free"], &world.env).await;
    assert!(output.status.success(), "{output:?}");
    let invitee = Invitee::random().event_type(free_type);
    world.send(&invitee.created()).await;
    world.booking(&invitee, "CONFIRMED NOT_REQUIRED").await;
    let paid_at_calendly = Invitee::random().payment(50.0, "USD", true);
    world.send(&paid_at_calendly.created()).await;
    world.booking(&paid_at_calendly, "CONFIRMED NOT_REQUIRED").await;
    assert_eq!(world.stripe.sessions().len(), 0);
}

#[tokio::test]
async fn a_callers_own_row_is_found_by_its_reference() {
    let world = World::start("reference").await;
    let id = uuid::Uuid::new_v4();
    world.database.execute("INSERT INTO bookings (id, reference) VALUES ($1, 'order-7')", &[&id]).await.unwrap();
    let invitee = Invitee::random().reference("order-7");
    world.send(&invitee.created()).await;
    world.open_session(&invitee).await;
    assert_eq!(world.row(&invitee).await.unwrap().get::<_, uuid::Uuid>("id"), id);
}

#[tokio::test]
async fn an_expired_session_is_replaced_when_an_operator_asks() {
    let world = World::start("expired").await;
    let invitee = Invitee::random();
    world.send(&invitee.created()).await;
    let first = world.open_session(&invitee).await;
    // Expired at Stripe, as its clock or its dashboard does it.
    let expired = tests::service::http_client()
        .post(format!("{}/v1/checkout/sessions/{first}/expire", world.stripe.url()))
        .bearer_auth(tests::sandbox::STRIPE_SECRET_KEY)
        .header("Stripe-Version", tests::stripe::API_VERSION)
        .header("Content-Type", "application/x-www-form-urlencoded")
        .send()
        .await
        .unwrap();
    assert_eq!(expired.status(), 200);
    tests::eventually(crate::world::PATIENCE, "the booking to have no session", async || {
        world.row(&invitee).await?.get::<_, Option<String>>("checkout_url").is_none().then_some(())
    })
    .await;
    world.booking(&invitee, "PENDING_PAYMENT UNPAID").await;
    let output = run_calctl(&["bookings", "checkout", &invitee.uri, "--output", "json"], &world.env).await;
    assert!(output.status.success(), "{output:?}");
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let second = world.open_session(&invitee).await;
    assert_eq!(answer["checkout_session_id"], second.as_str());
    assert_ne!(first, second);
    let output = run_calctl(&["bookings", "checkout", "nobody@example.com"], &world.env).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

/// The expiry fails because the customer was faster: the payment is found, and goes back.
#[tokio::test]
async fn a_cancel_that_meets_a_payment_ends_refunded() {
    let world = World::start("cancel-meets-payment").await;
    let invitee = Invitee::random();
    world.send(&invitee.created()).await;
    world.open_session(&invitee).await;
    world.stripe.inject(Endpoint::ExpireSession, Fault::PayFirst);
    world.send(&invitee.canceled()).await;
    world.booking(&invitee, "CANCELED REFUNDED").await;
    let money = world.stripe.summary().into_values().next().unwrap();
    assert_eq!((money.paid, money.refunded, world.stripe.refunds().len()), (5000, 5000, 1));
}

/// The second half is handled while the first is still in its transaction, on another partition, again and again.
#[tokio::test]
async fn halves_of_reschedules_in_any_order_make_one_booking_each() {
    let world = World::start("halves").await;
    let mut moved = Vec::new();
    for n in 0..40_u64 {
        let invitee = Invitee::random();
        let (second, third) = (invitee.moved(), invitee.moved().moved());
        let (left, to_second) = invitee.reschedule_pair(&second);
        let (left_second, to_third) = second.reschedule_pair(&third);
        let mut deliveries = [invitee.created(), left, to_second, left_second, to_third];
        deliveries.rotate_left(usize::try_from(n % 5).unwrap());
        if n % 2 == 0 {
            deliveries.reverse();
        }
        // All at once: they arrive on different partitions in the same moment.
        let sends = deliveries.iter().map(|delivery| world.send(delivery));
        futures_util::future::join_all(sends).await;
        moved.push(third);
    }
    world.processed("applied", 200.0).await;
    for third in &moved {
        world.open_session(third).await;
    }
    let rows: i64 = world.database.query_one("SELECT count(*) FROM bookings", &[]).await.unwrap().get(0);
    assert_eq!(rows, 40);
    // Two halves that met late may each have opened a session; only one of them is left.
    tests::eventually(crate::world::PATIENCE, "one live session each", async || {
        let live: usize = world.stripe.summary().values().map(|money| money.live_sessions).sum();
        (live == 40).then_some(())
    })
    .await;
}
