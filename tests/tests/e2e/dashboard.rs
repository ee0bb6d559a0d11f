//! What people do in Stripe's dashboard: refunds that carry nothing of ours.

use serde_json::Value;
use tests::calendly::Invitee;
use tests::eventually;
use tests::stripe::RefundStatus;

use crate::world::{PATIENCE, World};

#[tokio::test]
async fn a_partial_refund_changes_nothing_and_a_full_one_that_fails_later_shows() {
    let world = World::start("dashboard").await;
    let invitee = Invitee::random();
    let payment = world.paid(&invitee).await;
    world.stripe.dashboard_refund(&payment, 1000).unwrap();
    assert!(world.stripe.webhooks_delivered(PATIENCE).await);
    let facts = "SELECT count(*) FROM booking_events WHERE event_type IN ('refund.created', 'charge.refunded')";
    eventually(PATIENCE, "the refund to be in the history", async || {
        (world.database.query_one(facts, &[]).await.unwrap().get::<_, i64>(0) >= 2).then_some(())
    })
    .await;
    world.booking(&invitee, "CONFIRMED PAID").await;
    world.stripe.dashboard_refund(&payment, 4000).unwrap();
    world.booking(&invitee, "CONFIRMED REFUNDED").await;

    let other = Invitee::random();
    let payment = world.paid(&other).await;
    let refund = world.stripe.dashboard_refund(&payment, 5000).unwrap();
    world.booking(&other, "CONFIRMED REFUNDED").await;
    world.stripe.fail_refund_after_success(&refund).unwrap();
    world.booking(&other, "CONFIRMED REFUND_FAILED").await;
    assert_eq!(world.stripe.refunds().len(), 3, "none of them is ours");
}

/// Stripe promises no order: the refund's end may be heard of before the payment.
#[tokio::test]
async fn what_is_heard_of_a_payment_too_early_is_not_forgotten() {
    let world = World::start("early-refund").await;
    let invitee = Invitee::random();
    world.send(&invitee.created()).await;
    let session = world.open_session(&invitee).await;
    world.stripe.webhooks_to(None);
    let payment = world.stripe.pay(&session).unwrap();
    let refund = world.stripe.dashboard_refund(&payment, 5000).unwrap();
    world.stripe.fail_refund_after_success(&refund).unwrap();
    let mut events: Vec<Value> =
        world.stripe.take_webhooks().iter().map(|webhook| serde_json::from_slice(&webhook.body).unwrap()).collect();
    // Of the charge nothing is told: it has the metadata of its payment.
    events.retain(|event| event["type"] != "charge.refunded");
    let (payment, refunds): (Vec<Value>, Vec<Value>) =
        events.into_iter().partition(|event| event["type"] == "checkout.session.completed");
    assert!(payment.len() == 1 && refunds.len() > 1, "{refunds:?}");
    for event in refunds.iter().rev() {
        world.send_stripe(event).await;
    }
    let strays = async || {
        let query = "SELECT count(*) FROM stray_facts";
        world.database.query_one(query, &[]).await.unwrap().get::<_, i64>(0)
    };
    let expected = i64::try_from(refunds.len()).unwrap();
    eventually(PATIENCE, "the refunds to be set aside", async || (strays().await == expected).then_some(())).await;
    world.send_stripe(&payment[0]).await;
    world.booking(&invitee, "CONFIRMED REFUND_FAILED").await;
    assert_eq!(strays().await, 0);
}

#[tokio::test]
async fn a_refund_that_fails_after_it_was_done_shows() {
    let world = World::start("failed-refund").await;
    let invitee = Invitee::random();
    world.paid(&invitee).await;
    world.send(&invitee.canceled()).await;
    let refund = eventually(PATIENCE, "a refund", async || world.stripe.refunds().pop()).await;
    let _ = world.stripe.settle_refund(&refund.id, RefundStatus::Succeeded);
    world.booking(&invitee, "CANCELED REFUNDED").await;
    world.stripe.fail_refund_after_success(&refund.id).unwrap();
    world.booking(&invitee, "CANCELED REFUND_FAILED").await;
}
