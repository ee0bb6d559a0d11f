//! A bug that one booking brings to light is that booking's alone.

use serde_json::Value;
use tests::calendly::Invitee;
use tests::eventually;

use crate::world::{PATIENCE, World};

/// Refunds of more than there is money: in debug builds their sum overflows, which panics.
#[tokio::test]
async fn a_booking_that_breaks_the_fold_does_not_stop_the_others() {
    let world = World::start("bug").await;
    let broken = Invitee::random();
    let payment = world.paid(&broken).await;
    world.stripe.webhooks_to(None);
    world.stripe.dashboard_refund(&payment, 1000).unwrap();
    let events: Vec<Value> =
        world.stripe.take_webhooks().iter().map(|webhook| serde_json::from_slice(&webhook.body).unwrap()).collect();
    let refund = events.iter().find(|event| event["type"] == "refund.created").expect("a refund");
    for number in 0..8 {
        let mut event = refund.clone();
        event["id"] = format!("evt_bug_{number}").into();
        event["data"]["object"]["id"] = format!("re_bug_{number}").into();
        event["data"]["object"]["amount"] = i64::MAX.into();
        world.send_stripe(&event).await;
    }
    eventually(PATIENCE, "what breaks it to be dead", async || {
        (world.records("calendly.events.dlq").await.len() >= 7).then_some(())
    })
    .await;
    let other = Invitee::random();
    world.send(&other.created()).await;
    world.open_session(&other).await;
}
