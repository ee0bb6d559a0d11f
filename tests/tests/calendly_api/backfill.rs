//! What happened in a gap, read from Calendly's lists.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use calendly::{Backfill, CalendlyError, Gap, Missed, ScopeChoice, Subject};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tests::calendly::Invitee;
use tests::calendly_api::{CalendlyDouble, Fault};

use crate::{client, organization};

const HOUR: SignedDuration = SignedDuration::from_hours(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// From a day ago until an hour ago.
fn gap() -> Gap {
    let now = Timestamp::now();
    Gap { since: now - DAY, until: now - HOUR }
}

async fn all(double: &CalendlyDouble, subject: &Subject, gap: Gap) -> Vec<Missed> {
    let mut backfill = Backfill::new(&client(double), subject, gap);
    let mut all = Vec::new();
    while let Some(missed) = backfill.next().await.unwrap() {
        all.extend(missed);
    }
    all
}

/// Types and the invitees that they are about.
fn happenings(all: &[Missed]) -> BTreeSet<(&'static str, String)> {
    let pair = |one: &Missed| {
        let body: Value = serde_json::from_str(one.body()).unwrap();
        (one.event_type(), body["payload"]["uri"].as_str().unwrap().to_owned())
    };
    let pairs: BTreeSet<_> = all.iter().map(pair).collect();
    assert_eq!(pairs.len(), all.len(), "nothing is told twice");
    pairs
}

fn booked(seed: u64, ago: SignedDuration, begins_in: SignedDuration) -> Invitee {
    let now = Timestamp::now();
    let mut invitee = Invitee::new(seed).booked_at(now - ago);
    (invitee.start, invitee.end) = (now + begins_in, now + begins_in + HOUR / 2);
    invitee
}

#[tokio::test]
async fn everything_that_happened_in_the_gap_is_told_and_nothing_else() {
    let double = CalendlyDouble::start().await;
    let now = Timestamp::now();
    // Booked in the gap for next year, for a time in it, before it, after it.
    let far = booked(1, HOUR * 5, DAY * 400);
    let over = booked(2, HOUR * 20, -HOUR * 10);
    let early = booked(3, DAY * 3, DAY);
    let late = booked(4, HOUR / 2, DAY);
    // Cancelled in the gap, the one booked before it and the other in it; cancelled before it; and after it.
    let gone = booked(5, DAY * 30, DAY * 60);
    let soon_gone = booked(6, HOUR * 6, DAY);
    let long_gone = booked(7, DAY * 9, DAY);
    let just_gone = booked(8, DAY * 9, DAY);
    // Moved in the gap.
    let from = booked(9, DAY * 2, DAY);
    let mut to = from.moved();
    to.booked_at = now - HOUR * 7;
    // A group: who was there before, who came, who left. Nothing of the meeting itself changes.
    let member = booked(10, DAY * 5, DAY * 2);
    let mut came = member.in_same_event(11);
    came.booked_at = now - HOUR * 8;
    let mut left = member.in_same_event(12);
    left.booked_at = now - DAY * 4;
    // Who did not come, as the host said in the gap.
    let absent = booked(13, DAY * 9, -DAY * 2);
    for invitee in [&far, &over, &early, &late, &gone, &soon_gone, &long_gone, &just_gone, &from, &absent] {
        double.book(invitee);
    }
    for invitee in [&member, &came, &left] {
        double.book_in_group(invitee, 20);
    }
    for (invitee, ago) in
        [(&gone, HOUR * 9), (&soon_gone, HOUR * 2), (&long_gone, DAY * 2), (&just_gone, HOUR / 3), (&left, HOUR * 4)]
    {
        double.cancel(invitee, now - ago);
    }
    double.reschedule(&from, &to);
    double.mark_no_show(&absent, now - HOUR * 3);

    let subject = organization();
    let found = all(&double, &subject, gap()).await;
    let [created, canceled, no_show] = Missed::EVENT_TYPES;
    let expected = BTreeSet::from([
        (created, far.uri.clone()),
        (created, over.uri.clone()),
        (created, soon_gone.uri.clone()),
        (created, to.uri.clone()),
        (created, came.uri.clone()),
        (canceled, gone.uri.clone()),
        (canceled, soon_gone.uri.clone()),
        (canceled, from.uri.clone()),
        (canceled, left.uri.clone()),
        (no_show, absent.uri.clone()),
    ]);
    assert_eq!(happenings(&found), expected);
    // What could not have changed is not asked about.
    let paths: BTreeSet<_> = double.requests().into_iter().map(|request| request.path).collect();
    let asked =
        |invitee: &Invitee| paths.iter().any(|path| path.contains(invitee.event_uri.rsplit('/').next().unwrap()));
    assert!(!asked(&early) && !asked(&long_gone) && asked(&gone) && asked(&late) && asked(&member));

    let me = ScopeChoice::User(None).resolve(&client(&double)).await.unwrap();
    assert_eq!(happenings(&all(&double, &me, gap()).await), expected);
    // Who is no administrator may list what is their own.
    double.owner_is_admin(false);
    assert_eq!(happenings(&all(&double, &me, gap()).await), expected);
    let refused = Backfill::new(&client(&double), &subject, gap()).next().await;
    assert!(matches!(refused, Err(CalendlyError::Forbidden { .. })));
}

/// The event that ingest would have made of the delivery, but for when each was taken and what only the payload tells.
#[tokio::test]
async fn an_event_is_the_same_whether_it_was_delivered_or_fetched() {
    let double = CalendlyDouble::start().await;
    let old = booked(1, HOUR * 9, DAY).reference("b-1").payment(50.0, "USD", true);
    let mut new = old.moved();
    new.booked_at = Timestamp::now() - HOUR * 8;
    let leaver = booked(2, HOUR * 9, DAY);
    let left_at = Timestamp::now() - HOUR * 7;
    double.book(&old);
    double.reschedule(&old, &new);
    double.book(&leaver);
    double.cancel(&leaver, left_at);

    let (moved_away, moved_here) = old.reschedule_pair(&new);
    let delivered = [old.created(), moved_away, moved_here, leaver.created(), leaver.canceled().occurred(left_at)];
    let event = |body: &[u8]| {
        let delivery = schemas::calendly::Delivery::parse(body).unwrap();
        let key = delivery.partition_key();
        let mut event = delivery.into_event(Timestamp::UNIX_EPOCH);
        event.payload = String::new();
        (event.event_id, (key, event))
    };
    let delivered: BTreeMap<_, _> = delivered.iter().map(|delivery| event(&delivery.body())).collect();
    let found = all(&double, &organization(), gap()).await;
    let fetched: BTreeMap<_, _> = found.iter().map(|one| event(one.body().as_bytes())).collect();
    assert_eq!(fetched, delivered);
}

#[tokio::test]
async fn many_pages_within_the_rate_limit() {
    let double = CalendlyDouble::start().await;
    let host = booked(1, HOUR * 5, DAY);
    double.book_in_group(&host, 500);
    for seed in 2..=230 {
        double.book_in_group(&host.in_same_event(seed).booked_at(host.booked_at), 500);
    }
    for seed in 1000..1240 {
        double.book(&booked(seed, DAY * 3, DAY * 2));
    }
    double.limit_rate(4, Duration::from_secs(1));
    let mut backfill = Backfill::new(&client(&double), &organization(), gap());
    let mut sizes = Vec::new();
    while let Some(missed) = backfill.next().await.unwrap() {
        sizes.push(missed.len());
    }
    assert_eq!(sizes, [100, 100, 30], "a page at a time");
    assert_eq!((backfill.looked().meetings, backfill.looked().asked), (241, 1));
    assert!(double.requests().iter().all(|request| request.status == 200), "nothing was refused");
}

#[tokio::test]
async fn an_error_loses_nothing_and_a_meeting_that_is_gone_is_none() {
    let double = CalendlyDouble::start().await;
    let subject = organization();
    for seed in 1..=3 {
        double.book(&booked(seed, HOUR * 5, DAY));
    }
    let mut backfill = Backfill::new(&client(&double), &subject, gap());
    let mut found = backfill.next().await.unwrap().unwrap();
    double.inject("GET", "/scheduled_events/", Fault::Status(403));
    assert!(matches!(backfill.next().await, Err(CalendlyError::Plan { .. } | CalendlyError::Forbidden { .. })));
    while let Some(missed) = backfill.next().await.unwrap() {
        found.extend(missed);
    }
    assert_eq!(happenings(&found).len(), 3);

    double.inject("GET", "/scheduled_events/", Fault::Status(404));
    assert_eq!(all(&double, &subject, gap()).await.len(), 2);
}
