//! Keys side by side, each in its order.

use std::sync::Arc;
use std::time::{Duration, Instant};

use runtime::kafka::Record;
use runtime::kafka::consumer::{Completion, Handler};
use tokio::sync::watch;

use crate::fixture::{Journal, PATIENCE, Steady, Topic, number};

const SLOW: Duration = Duration::from_millis(200);

/// Records per second, from the first one that is finished to the `last` one.
async fn rate(topic: &Topic, group: &str, concurrency: usize, last: usize) -> f64 {
    let handler = Steady::new(SLOW);
    let member = crate::fixture::Member::start(&topic.config(), group, &topic.name, concurrency, &handler);
    handler.journal.wait_for(1).await;
    let (started, first) = (Instant::now(), handler.journal.with(|entries| entries.total));
    handler.journal.wait_for(last).await;
    let finished = handler.journal.with(|entries| entries.total) - first;
    let seconds = started.elapsed().as_secs_f64();
    member.stop().await;
    f64::from(u32::try_from(finished).unwrap()) / seconds
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_keys_in_flight_are_worth_fifty_times_one() {
    let topic = Topic::new("ratio", 1).await;
    topic.write(0..64 * 24, 64).await;
    let one = rate(&topic, &format!("{}-1", topic.group()), 1, 12).await;
    let many = rate(&topic, &format!("{}-64", topic.group()), 64, 64 * 24).await;
    assert!(many >= 50.0 * one, "{many:.0} records/s with 64 in flight, {one:.2} with one");
}

/// Hangs on the number 0, until it is told to give up.
struct Stuck {
    journal: Journal,
    hangs: bool,
    give_up: watch::Sender<bool>,
}

impl Stuck {
    fn new(hangs: bool) -> Arc<Self> {
        Arc::new(Self { journal: Journal::default(), hangs, give_up: watch::Sender::new(false) })
    }
}

impl Handler for Stuck {
    async fn handle(&self, record: Record) -> Completion {
        self.journal.begin(&record);
        if self.hangs && number(&record) == 0 {
            let _ = self.give_up.subscribe().wait_for(|told| *told).await;
            return Completion::Abandoned;
        }
        self.journal.end_in_order(&record);
        Completion::Done
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_record_stops_its_own_key_and_is_all_that_is_repeated() {
    const COUNT: u64 = 3000;
    const KEYS: u64 = 30;
    let topic = Topic::new("stuck", 1).await;
    topic.write(0..COUNT, KEYS).await;
    let others = usize::try_from(COUNT - COUNT / KEYS).unwrap();

    let handler = Stuck::new(true);
    let member = topic.member(8, &handler);
    handler.journal.wait_for(others).await;
    topic.write(COUNT..COUNT + 1, COUNT + 2).await;
    handler.journal.wait_for(others + 1).await;
    member.signal();
    handler.give_up.send_replace(true);
    member.stop().await;
    let finished: Vec<u64> = handler.journal.with(|entries| entries.finished.keys().copied().collect());
    assert!(finished.iter().all(|number| number % KEYS != 0 || *number == COUNT), "its key waited for it");

    let after = Stuck::new(false);
    let member = topic.member(8, &after);
    after.journal.wait_for(usize::try_from(COUNT / KEYS).unwrap()).await;
    // Written last, read last: what should not be repeated would have been by now.
    topic.write(COUNT + 1..COUNT + 2, COUNT + 2).await;
    let all = usize::try_from(COUNT / KEYS).unwrap() + 1;
    after.journal.wait_for(all).await;
    member.stop().await;
    let again: Vec<u64> = after.journal.with(|entries| entries.finished.keys().copied().collect());
    assert!(again.iter().all(|number| *number == COUNT + 1 || number % KEYS == 0 && *number < COUNT), "{again:?}");
    after.journal.with(|entries| assert_eq!((entries.total, entries.finished.len()), (all, all)));
}

#[tokio::test(flavor = "multi_thread")]
async fn ready_when_it_has_its_partitions() {
    let topic = Topic::new("ready", 3).await;
    let handler = Steady::new(Duration::ZERO);
    let member = topic.member(8, &handler);
    assert!(!member.health.is_ready(), "nobody can have joined yet");
    tests::eventually(PATIENCE, "readiness", async || member.health.is_ready().then_some(())).await;
    // A member that gets no partition, because there are more members than partitions, is well too.
    let more: Vec<_> = (0..3).map(|_| topic.member(8, &handler)).collect();
    for other in &more {
        tests::eventually(PATIENCE, "readiness", async || other.health.is_ready().then_some(())).await;
    }
    for other in more {
        other.stop().await;
    }
    member.stop().await;
}
