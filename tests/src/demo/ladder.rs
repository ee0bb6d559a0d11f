//! The event that fails: through every tier, into the dead-letter topic.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::case::Case;
use super::eyes::topics;
use super::stack::RETRY_DELAYS;
use super::stage::{Broken, Expected, PATIENCE, Stage};
use crate::calendly::Invitee;
use crate::kafka::Message;
use crate::stripe::{BookingMoney, Endpoint, Fault, Injection};
use crate::within;

/// Lets everything fail at Stripe that is done for this person, and follows their booking down. Gives the headers of
/// the dead letter, one a line.
pub(super) async fn walk(stage: &Stage<'_>, case: &mut Case, eve: &Invitee) -> Result<String, Broken> {
    let outage = Injection::on(Endpoint::CreateSession, Fault::status(500)).always();
    stage.stack.double.inject_with(outage.param("customer_email", &eve.email));
    stage.progress.say("Eve books; Stripe answers 500 to every try for her");
    stage.deliver(case, &eve.created()).await?;
    for (rung, (label, delay)) in RETRY_DELAYS.iter().enumerate() {
        let topic = format!("calendly.events.retry.{label}");
        let record = arrival(stage, eve, &topic).await?;
        stage.progress.say(format_args!("Eve's booking failed and waits {label} in {topic}"));
        check(case, &record, "retry-attempt", &(rung + 1).to_string());
        check(case, &record, "error-class", "transient");
        let waits = time(&record, "retry-due-at")?.duration_since(time(&record, "failed-at")?);
        case.expect(format!("time in {topic}"), &format!("{delay:?}"), &format!("{:?}", waits.unsigned_abs()));
    }
    let dead = arrival(stage, eve, "calendly.events.dlq").await?;
    stage.progress.say("Eve's booking has used up its retries and is in calendly.events.dlq");
    judge(stage, case, eve, &dead).await?;
    let mut headers = String::new();
    for (name, value) in &dead.headers {
        let _ = writeln!(headers, "  {name:<17} {}", String::from_utf8_lossy(value));
    }
    Ok(headers)
}

async fn arrival(stage: &Stage<'_>, eve: &Invitee, topic: &str) -> Result<Message, Broken> {
    let look = async || stage.stack.records_of(topic, &[&eve.uri]).await.into_iter().next();
    let found = stage.progress.waiting(format_args!("Eve's booking in {topic}"), within(PATIENCE, look)).await;
    found.ok_or_else(|| format!("nothing came into {topic} within {PATIENCE:?}"))
}

async fn judge(stage: &Stage<'_>, case: &mut Case, eve: &Invitee, dead: &Message) -> Result<(), Broken> {
    let original = stage.stack.records_of("calendly.events", &[&eve.uri]).await;
    let original = original.first().ok_or("calendly.events does not hold the event")?;
    check(case, dead, "retry-attempt", &RETRY_DELAYS.len().to_string());
    check(case, dead, "error-class", "exhausted");
    check(case, dead, "origin-topic", "calendly.events");
    check(case, dead, "origin-partition", &original.partition.to_string());
    check(case, dead, "origin-offset", &original.offset.to_string());
    for same in ["event-id", "event-type", "received-at"] {
        check(case, dead, same, original.header(same).unwrap_or_default());
    }
    case.expect("the dead letter's value is the event's", &true, &(dead.value == original.value));

    let counts = stage.counts(eve, None).await;
    for topic in topics() {
        let found = counts.iter().find(|(name, _)| *name == topic).map_or(0, |(_, count)| *count);
        let wanted = match topic.as_str() {
            "stripe.events" => 0,
            "calendly.events.due" => RETRY_DELAYS.len(),
            _ => 1,
        };
        case.expect(format!("records in {topic}"), &wanted, &found);
    }
    case.went = counts.iter().map(|(topic, count)| format!("{topic} ×{count}")).collect();

    let requests = stage.stack.double.requests();
    let of_eve = requests.iter().filter(|request| request.params.get("customer_email") == Some(&*eve.email));
    let tries = of_eve.filter(|request| request.endpoint == Some(Endpoint::CreateSession)).count();
    case.expect("tries at Stripe", &(RETRY_DELAYS.len() + 1), &tries);
    let bookings = stage.stack.bookings(eve).await;
    let booking = bookings.into_iter().next().ok_or("there is no booking")?;
    let money = BookingMoney::default();
    let expected = Expected { calendly: 1, stripe: 0, status: "PENDING_PAYMENT", payment: "UNPAID", money };
    stage.judge_outcome(case, booking, &expected);
    let _ = write!(case.money, "\n({tries} tries, each a 500)");
    Ok(())
}

fn check(case: &mut Case, record: &Message, header: &str, wanted: &str) {
    case.expect(format!("header {header}"), &wanted, &record.header(header).unwrap_or("none"));
}

fn time(record: &Message, header: &str) -> Result<Timestamp, Broken> {
    let text = record.header(header).ok_or_else(|| format!("header {header} is missing"))?;
    text.parse().map_err(|_| format!("header {header} is no time: {text}"))
}
