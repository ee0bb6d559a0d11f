//! The scripted stories, one line of the table each.

use super::case::Case;
use super::ladder;
use super::stack::FREE_EVENT_TYPE;
use super::stage::{Broken, Expected, PATIENCE, Stage};
use crate::calendly::Invitee;
use crate::stripe::{BookingMoney, RefundMode, RefundStatus};
use crate::within;

/// The price of everything that is not free.
const PRICE: i64 = 5000;

/// All that came of the script.
pub(super) struct Played {
    pub(super) cases: Vec<Case>,
    /// The headers of the event that failed for good, one a line.
    pub(super) dead_letter: String,
    /// What is wrong beside the single cases.
    pub(super) problems: Vec<String>,
}

fn person(seed: u64, name: &str) -> Invitee {
    let mut invitee = Invitee::new(seed).email(&format!("{}@example.com", name.to_lowercase()));
    name.clone_into(&mut invitee.name);
    invitee
}

fn paid_once() -> BookingMoney {
    BookingMoney { sessions: 1, payments: 1, paid: PRICE, ..BookingMoney::default() }
}

/// Plays all of it. The event that fails walks its tiers while the others go their way.
pub(super) async fn play(stage: &Stage<'_>) -> Played {
    let (ada, eve) = (person(1, "Ada"), person(5, "Eve"));
    let mut failing = Case::new("Eve books,\nbut Stripe answers 500 to\nevery try for her");
    let walk = async {
        let walked = ladder::walk(stage, &mut failing, &eve).await;
        walked.unwrap_or_else(|problem| {
            failing.problem(problem);
            String::new()
        })
    };
    let others = async {
        vec![
            pays(stage, &ada).await,
            moves(stage, &person(2, "Ben")).await,
            cancels(stage, &person(3, "Cleo")).await,
            free(stage, &person(4, "Dan")).await,
            duplicate(stage, &ada).await,
            forged(stage, &person(6, "Mallory")).await,
        ]
    };
    let (dead_letter, mut cases) = tokio::join!(walk, others);
    cases.push(failing);
    let problems = epilogue(stage, &cases).await;
    Played { cases, dead_letter, problems }
}

async fn pays(stage: &Stage<'_>, ada: &Invitee) -> Case {
    let mut case = Case::new("Ada books for 50.00 usd\nand pays");
    let story = async {
        stage.book_and_pay(&mut case, ada).await?;
        let expected = Expected { calendly: 1, stripe: 1, status: "CONFIRMED", payment: "PAID", money: paid_once() };
        stage.judge(&mut case, ada, &expected).await
    };
    end(story.await, case)
}

async fn moves(stage: &Stage<'_>, ben: &Invitee) -> Case {
    let mut case = Case::new("Ben books, pays,\nand reschedules\n(canceled + created)");
    let story = async {
        let before = stage.book_and_pay(&mut case, ben).await?;
        stage.progress.say("Ben moves his booking to the next day");
        let moved = ben.moved();
        let (canceled, created) = ben.reschedule_pair(&moved);
        stage.deliver(&mut case, &canceled).await?;
        stage.deliver(&mut case, &created).await?;
        let is_moved = |booking: &super::eyes::Booking| booking.invitee_uri == moved.uri;
        let after = stage.booking_that(ben, "at the new time", is_moved).await?;
        case.expect("booking id", &before.id, &after.id);
        case.expect("the checkout session is the same", &true, &(before.session == after.session));
        let expected = Expected { calendly: 3, stripe: 1, status: "CONFIRMED", payment: "PAID", money: paid_once() };
        stage.judge(&mut case, &moved, &expected).await?;
        case.booking.push_str("\nsame booking,\nnew invitee");
        case.money.push_str("\n(no new charge)");
        Ok(())
    };
    end(story.await, case)
}

async fn cancels(stage: &Stage<'_>, cleo: &Invitee) -> Case {
    let mut case = Case::new("Cleo books, pays,\nand cancels");
    let double = &stage.stack.double;
    let story = async {
        stage.book_and_pay(&mut case, cleo).await?;
        // As in life: created is not settled.
        double.refund_mode(RefundMode::Pending);
        stage.progress.say("Cleo cancels");
        stage.deliver(&mut case, &cleo.canceled()).await?;
        let booking = stage.booking(cleo, "CANCELED REFUND_PENDING").await?;
        let pending = within(PATIENCE, async || double.refunds().into_iter().next()).await;
        let refund = pending.ok_or("no refund was asked of Stripe")?;
        stage.progress.say("The refund is pending; now the bank settles it");
        let still = stage.booking(cleo, "CANCELED REFUND_PENDING").await?;
        case.expect("booking id", &booking.id, &still.id);
        double.settle_refund(&refund.id, RefundStatus::Succeeded).map_err(|error| error.to_string())?;
        stage.booking(cleo, "CANCELED REFUNDED").await?;
        let money = BookingMoney { refunds: 1, refunded: PRICE, ..paid_once() };
        let expected = Expected { calendly: 2, stripe: 2, status: "CANCELED", payment: "REFUNDED", money };
        stage.judge(&mut case, cleo, &expected).await?;
        case.money = case.money.replacen("REFUNDED", "REFUND_PENDING,\nthen REFUNDED", 1);
        Ok(())
    };
    end(story.await, case)
}

async fn free(stage: &Stage<'_>, dan: &Invitee) -> Case {
    let mut case = Case::new("Dan books an event type\nthat is free");
    let dan = dan.clone().event_type(FREE_EVENT_TYPE);
    let story = async {
        stage.progress.say("Dan books something free");
        stage.deliver(&mut case, &dan.created()).await?;
        stage.booking(&dan, "CONFIRMED NOT_REQUIRED").await?;
        let money = BookingMoney::default();
        let expected = Expected { calendly: 1, stripe: 0, status: "CONFIRMED", payment: "NOT_REQUIRED", money };
        stage.judge(&mut case, &dan, &expected).await
    };
    end(story.await, case)
}

async fn duplicate(stage: &Stage<'_>, ada: &Invitee) -> Case {
    let mut case = Case::new("Ada's booking,\ndelivered once more");
    let duplicates = async || {
        let labels = [("event_type", "invitee.created"), ("outcome", "duplicate")];
        stage.stack.processor.metrics().await.sum("events_processed_total", &labels)
    };
    let story = async {
        let (bookings, so_far) = (stage.stack.bookings(ada).await, duplicates().await);
        stage.progress.say("Calendly delivers Ada's booking a second time");
        stage.deliver(&mut case, &ada.created()).await?;
        let counted = within(PATIENCE, async || (duplicates().await > so_far).then_some(())).await;
        counted.ok_or("the processor did not count a duplicate")?;
        let expected = Expected { calendly: 2, stripe: 1, status: "CONFIRMED", payment: "PAID", money: paid_once() };
        stage.judge(&mut case, ada, &expected).await?;
        let records = stage.stack.records_of("calendly.events", &[&ada.uri]).await;
        let [first, second] = [0, 1].map(|at| records.get(at).and_then(|record| record.header("event-id")));
        case.expect("the deliveries have one event-id", &true, &(first.is_some() && first == second));
        case.expect("the row is untouched", &true, &(stage.stack.bookings(ada).await == bookings));
        case.went = vec!["calendly.events once more,\nsame event-id".to_owned()];
        case.booking.push_str("\n(unchanged)");
        case.money.push_str("\n(unchanged)");
        Ok(())
    };
    end(story.await, case)
}

async fn forged(stage: &Stage<'_>, mallory: &Invitee) -> Case {
    let mut case = Case::new("A forged delivery,\nsigned with another key");
    stage.progress.say("Somebody forges a delivery");
    let sent = stage.forge(&mut case, &mallory.created()).await;
    end(sent, case)
}

fn end(story: Result<(), Broken>, mut case: Case) -> Case {
    if let Err(problem) = story {
        case.problem(problem);
    }
    case
}

/// What can only be said in the end: nothing is under way, nothing changed behind our back, nothing is where it should
/// not be.
async fn epilogue(stage: &Stage<'_>, cases: &[Case]) -> Vec<String> {
    let stack = stage.stack;
    let mut problems = Vec::new();
    stage.progress.say("Looking whether everything that was accepted was also finished");
    let mut counts = (0, 0.0);
    let finished = async || {
        let published = ["calendly.events", "stripe.events", "calendly.events.due"].map(|topic| stack.records(topic));
        let [calendly, stripe, due] = published;
        let published = calendly.await.len() + stripe.await.len() + due.await.len();
        let processed = stack.processor.metrics().await.sum("events_processed_total", &[]);
        counts = (published, processed);
        #[allow(clippy::cast_precision_loss, reason = "a few dozen records")]
        (published as f64 == processed).then_some(())
    };
    if within(PATIENCE, finished).await.is_none() {
        problems.push(format!("{} records are in the topics, the processor finished {}", counts.0, counts.1));
    }
    for record in stack.records("calendly.events").await {
        if record.header("retry-attempt").is_some() {
            problems.push(format!("calendly.events holds a retry, at offset {}", record.offset));
        }
    }
    let mallory = person(6, "Mallory");
    if !stage.counts(&mallory, None).await.is_empty() || !stack.bookings(&mallory).await.is_empty() {
        problems.push("the forged delivery left a trace".to_owned());
    }
    for (booking, money) in cases.iter().filter_map(|case| case.left.as_ref()) {
        if stack.money(booking) != *money {
            problems.push(format!("the money of booking {} changed after its story was over", booking.id));
        }
        let now = stack.find(&booking.id).await;
        if now.iter().map(|now| (&now.status, &now.payment_status)).ne([(&booking.status, &booking.payment_status)]) {
            problems.push(format!("booking {} changed after its story was over: {now:?}", booking.id));
        }
    }
    problems
}
