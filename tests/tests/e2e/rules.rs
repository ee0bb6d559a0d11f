//! The booking rules that take more than one customer, or an unusual one, to see.

use serde_json::json;
use tests::calendly::Invitee;
use tests::stripe::Session;
use tests::{eventually, run_calctl};

use crate::world::{PATIENCE, World};

const EVENT_TYPE: &str = "https://api.calendly.com/event_types/00000000-0000-0000-0000-00000000000";

async fn set_price(world: &World, event_type: &str, price: &str) {
    let output = run_calctl(&["prices", "set", event_type, price], &world.env).await;
    assert!(output.status.success(), "{output:?}");
}

async fn bookings(world: &World) -> i64 {
    world.database.query_one("SELECT count(*) FROM bookings", &[]).await.unwrap().get(0)
}

async fn session(world: &World, invitee: &Invitee) -> Session {
    let id = world.open_session(invitee).await;
    world.stripe.session(&id).expect("the session that the row names")
}

#[tokio::test]
async fn everybody_at_a_group_event_has_a_booking_of_their_own() {
    let world = World::start("group").await;
    let first = Invitee::random();
    let others: Vec<Invitee> = (1..4).map(|number| first.in_same_event(number)).collect();
    for invitee in others.iter().chain([&first]) {
        world.send(&invitee.created()).await;
    }
    for invitee in others.iter().chain([&first]) {
        world.open_session(invitee).await;
    }
    assert_eq!((bookings(&world).await, world.stripe.sessions().len()), (4, 4));
    // One leaves; the others stay.
    world.send(&first.canceled()).await;
    world.booking(&first, "CANCELED UNPAID").await;
    for invitee in &others {
        world.booking(invitee, "PENDING_PAYMENT UNPAID").await;
    }
}

#[tokio::test]
async fn overlapping_subscriptions_are_one_happening() {
    let world = World::start("overlap").await;
    let invitee = Invitee::random();
    for user in ["A", "B"] {
        world.send(&invitee.created().created_by(&format!("https://api.calendly.com/users/{user}"))).await;
    }
    world.open_session(&invitee).await;
    world.processed("duplicate", 1.0).await;
    for user in ["B", "A"] {
        world.send(&invitee.canceled().created_by(&format!("https://api.calendly.com/users/{user}"))).await;
    }
    world.booking(&invitee, "CANCELED UNPAID").await;
    assert_eq!((bookings(&world).await, world.stripe.sessions().len()), (1, 1));
}

#[tokio::test]
async fn what_calendly_collected_is_not_collected_again() {
    let world = World::start("collected").await;
    let paid = Invitee::random().payment(50.0, "USD", true);
    let failed = Invitee::random().payment(50.0, "USD", false);
    world.send(&paid.created()).await;
    world.send(&failed.created()).await;
    world.booking(&paid, "CONFIRMED NOT_REQUIRED").await;
    world.open_session(&failed).await;
    world.booking(&failed, "PENDING_PAYMENT UNPAID").await;
    assert_eq!(world.stripe.sessions().len(), 1);
}

#[tokio::test]
async fn a_booking_keeps_the_price_that_it_was_made_at() {
    let world = World::start("price").await;
    let event_type = format!("{EVENT_TYPE}a");
    set_price(&world, &event_type, "3000 eur").await;
    let early = Invitee::random().event_type(&event_type);
    world.send(&early.created()).await;
    assert_eq!(session(&world, &early).await.amount, 3000);
    set_price(&world, &event_type, "9900 eur").await;
    let late = Invitee::random().event_type(&event_type);
    world.send(&late.created()).await;
    assert_eq!(session(&world, &late).await.amount, 9900);
    // Rescheduled after the change, it costs what it cost.
    let moved = early.moved();
    let (left, created) = early.reschedule_pair(&moved);
    world.send(&created).await;
    world.send(&left).await;
    let row = eventually(PATIENCE, "the booking to move", async || world.row(&moved).await).await;
    assert_eq!((row.get::<_, i64>("amount_minor"), row.get::<_, &str>("currency")), (3000, "eur"));
    world.stripe.pay(&world.open_session(&moved).await).unwrap();
    world.booking(&moved, "CONFIRMED PAID").await;
    assert_eq!(world.stripe.summary().values().map(|money| money.paid).sum::<i64>(), 3000);
}

#[tokio::test]
async fn currencies_without_a_minor_unit_are_charged_as_they_are() {
    let world = World::start("yen").await;
    let event_type = format!("{EVENT_TYPE}b");
    set_price(&world, &event_type, "5000 jpy").await;
    let invitee = Invitee::random().event_type(&event_type);
    world.send(&invitee.created()).await;
    let session = session(&world, &invitee).await;
    assert_eq!((session.amount, session.currency.as_str()), (5000, "jpy"));
    world.stripe.pay(&session.id).unwrap();
    world.booking(&invitee, "CONFIRMED PAID").await;
    world.send(&invitee.canceled()).await;
    let refund = eventually(PATIENCE, "the refund", async || world.stripe.refunds().pop()).await;
    assert_eq!((refund.amount, refund.currency.as_str()), (5000, "jpy"));
}

#[tokio::test]
async fn no_shows_are_recorded_and_move_no_money() {
    let world = World::start("no-show").await;
    let invitee = Invitee::random();
    world.paid(&invitee).await;
    for (delivery, expected) in [(invitee.no_show(true), true), (invitee.no_show(false), false)] {
        world.send(&delivery).await;
        eventually(PATIENCE, format!("no_show to be {expected}"), async || {
            (world.row(&invitee).await?.get::<_, bool>("no_show") == expected).then_some(())
        })
        .await;
    }
    world.booking(&invitee, "CONFIRMED PAID").await;
    assert_eq!(world.stripe.refunds().len(), 0);
}

#[tokio::test]
async fn money_that_takes_days_confirms_when_it_comes() {
    let world = World::start("async").await;
    for (comes, then) in [(true, "CONFIRMED PAID"), (false, "PENDING_PAYMENT UNPAID")] {
        let invitee = Invitee::random();
        world.send(&invitee.created()).await;
        let session = world.open_session(&invitee).await;
        world.stripe.pay_async(&session).unwrap();
        eventually(PATIENCE, "the session to be used", async || {
            world.row(&invitee).await?.get::<_, Option<String>>("checkout_url").is_none().then_some(())
        })
        .await;
        world.booking(&invitee, "PENDING_PAYMENT UNPAID").await;
        world.stripe.settle_async(&session, comes).unwrap();
        assert!(world.stripe.webhooks_delivered(PATIENCE).await);
        let query = "SELECT count(*) FROM booking_events WHERE event_type LIKE 'checkout.session.async%'";
        let heard = async || world.database.query_one(query, &[]).await.unwrap().get::<_, i64>(0);
        eventually(PATIENCE, "Stripe's word", async || (heard().await >= if comes { 1 } else { 2 }).then_some(()))
            .await;
        world.booking(&invitee, then).await;
    }
    assert_eq!(world.stripe.sessions().len(), 2);
}

/// Chained, cancelled in between, the halves in the wrong order: always one booking, and nothing is charged twice.
#[tokio::test]
async fn a_chain_of_reschedules_and_a_comeback_is_one_booking() {
    let world = World::start("chain").await;
    let first = Invitee::random();
    world.paid(&first).await;
    let second = first.moved();
    let third = second.moved();
    let (first_left, second_created) = first.reschedule_pair(&second);
    let (second_left, third_created) = second.reschedule_pair(&third);
    for delivery in [&third_created, &second_left, &second_created, &first_left] {
        world.send(delivery).await;
    }
    world.booking(&third, "CONFIRMED PAID").await;
    world.send(&third.canceled()).await;
    world.booking(&third, "CANCELED REFUNDED").await;
    let fourth = third.moved();
    world.send(&fourth.rescheduled_event()).await;
    let session = world.open_session(&fourth).await;
    world.booking(&fourth, "PENDING_PAYMENT UNPAID").await;
    world.stripe.pay(&session).unwrap();
    world.booking(&fourth, "CONFIRMED PAID").await;
    // The far end of the chain was a booking of its own until its link came; its session was expired then.
    eventually(PATIENCE, "no session to be open", async || {
        world.stripe.summary().values().all(|money| money.live_sessions == 0).then_some(())
    })
    .await;
    let net: i64 = world.stripe.summary().values().map(tests::stripe::BookingMoney::net).sum();
    assert_eq!((bookings(&world).await, net, world.stripe.refunds().len()), (1, 5000, 1));
}

/// The customer was told that the appointment is off, and pays all the same.
#[tokio::test]
async fn a_payment_after_the_cancel_goes_back() {
    let world = World::start("late-payment").await;
    let invitee = Invitee::random();
    world.send(&invitee.created()).await;
    let session = world.open_session(&invitee).await;
    world.stripe.webhooks_to(None);
    world.stripe.pay(&session).unwrap();
    let paid = world.stripe.take_webhooks();
    let mut event: serde_json::Value = serde_json::from_slice(
        &paid.iter().find(|webhook| webhook.event.kind == "checkout.session.completed").unwrap().body,
    )
    .unwrap();
    world.stripe.webhooks_to(Some(&format!("{}/webhooks/stripe", world.sandbox.ingest_url())));
    world.send(&invitee.canceled()).await;
    world.booking(&invitee, "CANCELED REFUNDED").await;
    // Stripe's own word comes late, and by its clock too.
    event["created"] = json!(jiff::Timestamp::now().as_second() + 5);
    world.send_stripe(&event).await;
    let heard = "SELECT count(*) FROM booking_events WHERE event_type = 'checkout.session.completed'";
    eventually(PATIENCE, "the payment to be recorded", async || {
        (world.database.query_one(heard, &[]).await.unwrap().get::<_, i64>(0) == 1).then_some(())
    })
    .await;
    world.booking(&invitee, "CANCELED REFUNDED").await;
    assert_eq!(world.stripe.refunds().len(), 1);
}
