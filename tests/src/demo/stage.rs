//! What the stories are made of: deliver, pay, wait for a booking, judge.

use std::time::Duration;

use super::case::Case;
use super::eyes::{Booking, topics};
use super::progress::Progress;
use super::stack::Stack;
use crate::calendly::{Delivery, Invitee, Sender};
use crate::kafka::{Isolation, read_all};
use crate::sandbox::CALENDLY_SIGNING_KEY;
use crate::stripe::BookingMoney;
use crate::within;

/// Everything here takes far less, on a machine that has nothing else to do.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
const ACCEPTED: &str = r#"{"success":true}"#;
const REFUSED: &str = r#"{"error":"Invalid signature"}"#;

/// Why a story could not go on.
pub(super) type Broken = String;

/// What a story must end in.
pub(super) struct Expected {
    /// Records in `calendly.events`.
    pub(super) calendly: usize,
    /// Least number of records in `stripe.events`; which events Stripe sends beside those that count is its affair.
    pub(super) stripe: usize,
    pub(super) status: &'static str,
    pub(super) payment: &'static str,
    pub(super) money: BookingMoney,
}

/// Records by topic, for one person's booking; topics without any are left out.
pub(super) type Counts = Vec<(String, usize)>;

pub(super) struct Stage<'a> {
    pub(super) stack: &'a Stack,
    pub(super) progress: &'a Progress,
    calendly: Sender,
    forger: Sender,
}

impl<'a> Stage<'a> {
    pub(super) fn new(stack: &'a Stack, progress: &'a Progress) -> Self {
        let url = format!("{}/webhooks/calendly", stack.ingest_url);
        let calendly = Sender::new(&url, CALENDLY_SIGNING_KEY);
        Self { stack, progress, calendly, forger: Sender::new(&url, "a key that the forger made up") }
    }

    /// Delivers, signed as Calendly does.
    pub(super) async fn deliver(&self, case: &mut Case, delivery: &Delivery) -> Result<(), Broken> {
        let answer = self.calendly.send(delivery).await;
        check_answer(case, answer, 200, ACCEPTED)
    }

    /// Delivers, signed with a key that is not ours.
    pub(super) async fn forge(&self, case: &mut Case, delivery: &Delivery) -> Result<(), Broken> {
        let answer = self.forger.send(delivery).await;
        check_answer(case, answer, 401, REFUSED)
    }

    /// Waits until the person's booking is so: one booking, whichever invitee they are.
    pub(super) async fn booking(&self, person: &Invitee, wanted: &str) -> Result<Booking, Broken> {
        self.booking_that(person, wanted, |booking| format!("{} {}", booking.status, booking.payment_status) == wanted)
            .await
    }

    /// Waits until the person's booking is as `holds` has it; `wanted` says what that is.
    pub(super) async fn booking_that(
        &self,
        person: &Invitee,
        wanted: &str,
        holds: impl Fn(&Booking) -> bool,
    ) -> Result<Booking, Broken> {
        let mut seen = Vec::new();
        let look = async || {
            seen = self.stack.bookings(person).await;
            seen.iter().find(|booking| holds(booking)).cloned()
        };
        let what = format!("{}'s booking to be {wanted}", person.name);
        let found = self.progress.waiting(&what, within(PATIENCE, look)).await;
        let so_far =
            || seen.iter().map(|b| format!("{} {}", b.status, b.payment_status)).collect::<Vec<_>>().join(", ");
        found.ok_or_else(|| format!("waited {PATIENCE:?} in vain for {what}; it is [{}]", so_far()))
    }

    /// The person books and then pays what Stripe asks of them.
    pub(super) async fn book_and_pay(&self, case: &mut Case, person: &Invitee) -> Result<Booking, Broken> {
        let name = &person.name;
        self.progress.say(format_args!("{name} books for 50.00 usd"));
        self.deliver(case, &person.created()).await?;
        let booking = self.booking_that(person, "payable", |booking| booking.session.is_some()).await?;
        self.progress.say(format_args!("{name} has a Checkout page, and pays"));
        let session = booking.session.unwrap_or_default();
        self.stack.double.pay(&session).map_err(|error| format!("{name} could not pay: {error}"))?;
        self.booking(person, "CONFIRMED PAID").await
    }

    /// Waits until whatever Stripe has to tell was taken by ingest.
    pub(super) async fn stripe_has_told(&self) -> Result<(), Broken> {
        let told = self.stack.double.webhooks_delivered(PATIENCE).await;
        if told { Ok(()) } else { Err(format!("ingest did not take Stripe's webhooks within {PATIENCE:?}")) }
    }

    /// Fills the case's columns with what is there now, and compares it with what should be.
    pub(super) async fn judge(&self, case: &mut Case, person: &Invitee, expected: &Expected) -> Result<(), Broken> {
        self.stripe_has_told().await?;
        let bookings = self.stack.bookings(person).await;
        case.expect("bookings of the person", &1, &bookings.len());
        let booking = bookings.into_iter().next().ok_or("there is no booking")?;
        let counts = self.counts(person, Some(&booking)).await;
        for topic in topics() {
            let found = counts.iter().find(|(name, _)| *name == topic).map_or(0, |(_, count)| *count);
            let wanted = match topic.as_str() {
                "calendly.events" => expected.calendly,
                // More is fine, see there.
                "stripe.events" if expected.stripe > 0 => found.max(expected.stripe),
                _ => 0,
            };
            case.expect(format!("records in {topic}"), &wanted, &found);
        }
        case.went = counts.iter().map(|(topic, count)| format!("{topic} ×{count}")).collect();
        self.judge_outcome(case, booking, expected);
        Ok(())
    }

    /// The columns of booking and money.
    pub(super) fn judge_outcome(&self, case: &mut Case, booking: Booking, expected: &Expected) {
        let money = self.stack.money(&booking);
        case.expect("status", &expected.status, &booking.status.as_str());
        case.expect("payment_status", &expected.payment, &booking.payment_status.as_str());
        case.expect("at Stripe", &describe(&expected.money), &describe(&money));
        case.booking.clone_from(&booking.status);
        case.money = format!("{}\n{}", booking.payment_status, describe(&money));
        case.left = Some((booking, money));
    }

    /// How many records each topic has of a person: keyed by their first invitee, or by their booking.
    pub(super) async fn counts(&self, person: &Invitee, booking: Option<&Booking>) -> Counts {
        let booking = booking.map(|booking| booking.id.as_str());
        let keys: Vec<&str> =
            [person.old_invitee.as_deref(), Some(&person.uri), booking].into_iter().flatten().collect();
        let brokers = self.stack.kafka.brokers().to_owned();
        // All at once: every reader needs some tenths of a second to get going.
        let read = |topic: String| {
            let brokers = brokers.clone();
            tokio::spawn(async move { (read_all(&brokers, &topic, Isolation::Committed).await, topic) })
        };
        let mut counts = Counts::new();
        for reader in topics().into_iter().map(read).collect::<Vec<_>>() {
            let (records, topic) = reader.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
            let of_person = records.iter().filter(|record| record.key_str().is_some_and(|key| keys.contains(&key)));
            match of_person.count() {
                0 => {}
                count => counts.push((topic, count)),
            }
        }
        counts
    }
}

fn check_answer(
    case: &mut Case,
    answer: reqwest::Result<(u16, String)>,
    status: u16,
    body: &str,
) -> Result<(), Broken> {
    let (found, text) = answer.map_err(|error| format!("ingest does not answer: {error}"))?;
    case.answered(found);
    case.expect("answer", &format!("{status} {body}"), &format!("{found} {text}"));
    Ok(())
}

/// Two decimals: the demo is in dollars.
fn dollars(minor: i64) -> String {
    format!("{}.{:02} usd", minor / 100, minor % 100)
}

/// What Stripe holds, in words.
fn describe(money: &BookingMoney) -> String {
    if *money == BookingMoney::default() {
        return "nothing at Stripe".to_owned();
    }
    let plural = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let mut parts = vec![plural(money.sessions, "session")];
    if money.live_sessions > 0 {
        parts.push(format!("{} open", money.live_sessions));
    }
    if money.payments > 0 {
        parts.push(format!("{} of {}", plural(money.payments, "payment"), dollars(money.paid)));
    }
    if money.refunds > 0 {
        parts.push(format!("{} of {}", plural(money.refunds, "refund"), dollars(money.refunded)));
    }
    if money.refund_pending > 0 {
        parts.push(format!("{} pending", dollars(money.refund_pending)));
    }
    parts.join(",\n")
}
