//! `make chaos`: the whole stack under load while everything is broken in turn, and a count of what was lost.
//!
//! Customers book, pay, move and cancel as in [`crate::story`]. Meanwhile services, broker and database are killed and
//! frozen, and Stripe fails. When the breaking is over, every booking must be what its story says, the audit clean, the
//! DLQ empty, and nothing refunded twice.

mod breaking;
mod stack;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use futures_util::StreamExt;

use self::stack::Stack;
use crate::calendly::{Delivery, Invitee};
use crate::story::{Model, Story, outcome};
use crate::wait::eventually;

/// Stories at the same time.
const AT_ONCE: usize = 24;
const SUPERVISED_EVERY: Duration = Duration::from_secs(1);
/// Calendly would come again for a day.
const SENDER_PATIENCE: Duration = Duration::from_mins(3);
/// After the last disturbance, for leases, memberships and tiers to run out.
const HEALING: Duration = Duration::from_mins(4);

/// What to do.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How long things are broken.
    pub duration: Duration,
    /// Decides what is broken when.
    pub seed: u64,
}

/// Breaks things, waits until all has healed, and tells what was lost. Panics with a sentence when something was.
pub async fn run(plan: Plan) -> ExitCode {
    let stack = Stack::start().await;
    println!("chaos: breaking for {} s, seed {} (CHAOS_SEED repeats it)", plan.duration.as_secs(), plan.seed);
    let until = Instant::now() + plan.duration;
    let mut stories = futures_util::stream::iter((0_u64..).take_while(|_| Instant::now() < until))
        .map(|number| play(&stack, number))
        .buffer_unordered(AT_ONCE);
    let playing = async {
        let mut played = Vec::new();
        while let Some(story) = stories.next().await {
            played.push(story);
        }
        played
    };
    let (played, broken) = tokio::join!(playing, breaking::run(&stack, until, plan.seed));
    println!("chaos: {} stories told; {broken}; waiting for all of it to heal …", played.len());
    let supervised = async {
        loop {
            stack.supervise();
            tokio::time::sleep(SUPERVISED_EVERY).await;
        }
    };
    tokio::select! {
        () = judge(&stack, &played) => {}
        () = supervised => {}
    }
    println!("chaos: every one of {} bookings is what its story says; nothing lost, nothing done twice", played.len());
    ExitCode::SUCCESS
}

async fn play(stack: &Stack, number: u64) -> (Invitee, Model) {
    let mut story = Story::begin(number);
    deliver(stack, &mut story).await;
    if story.wants_to_pay() && pay(stack, &story).await {
        story.paid();
        deliver(stack, &mut story).await;
    }
    (story.invitee, story.model)
}

async fn deliver(stack: &Stack, story: &mut Story) {
    let deliveries = story.take_deliveries();
    futures_util::future::join_all(deliveries.iter().map(|delivery| send(stack, delivery))).await;
}

/// Delivers until it is taken, as Calendly does, only less patiently.
async fn send(stack: &Stack, delivery: &Delivery) {
    let body = delivery.body();
    let until = Instant::now() + SENDER_PATIENCE;
    while !matches!(stack.sender.send(body.clone()).await, Ok((200, _))) {
        assert!(Instant::now() < until, "a delivery was refused for {SENDER_PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// The customer pays the session that is shown, if one comes within their patience.
async fn pay(stack: &Stack, story: &Story) -> bool {
    let until = Instant::now() + SENDER_PATIENCE;
    while Instant::now() < until {
        if let Some(database) = stack.database().await
            && let Some(session) = story.session(&database).await
            && stack.stripe.pay(&session).is_ok()
        {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    false
}

async fn judge(stack: &Stack, played: &[(Invitee, Model)]) {
    let database = eventually(HEALING, "the database to answer", async || stack.database().await).await;
    for (invitee, model) in played {
        let what = format!("{} to be {:?}", invitee.uri, model.outcome());
        eventually(HEALING, what, async || {
            (outcome(&database, &stack.stripe, invitee).await? == model.outcome()).then_some(())
        })
        .await;
    }
    let pending = "SELECT count(*) FROM stripe_operations WHERE state = 'pending'";
    eventually(HEALING, "nothing to be left to do at Stripe", async || {
        (database.query_one(pending, &[]).await.ok()?.get::<_, i64>(0) == 0).then_some(())
    })
    .await;
    let mut payments: Vec<_> = stack.stripe.refunds().into_iter().map(|refund| refund.payment_intent).collect();
    let refunds = payments.len();
    payments.sort_unstable();
    payments.dedup();
    assert_eq!(payments.len(), refunds, "a payment was returned twice");
    stack.audit().await;
}
