//! A handler that lets nothing begin, as the breaker does while a dependency is away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use runtime::kafka::Record;
use runtime::kafka::consumer::{Completion, Handler};
use tokio::sync::Semaphore;

use crate::fixture::{Journal, PATIENCE, Topic};

struct Gated {
    gate: Semaphore,
    journal: Journal,
}

impl Handler for Gated {
    async fn admit(&self) {
        self.gate.acquire().await.unwrap().forget();
    }

    async fn handle(&self, record: Record) -> Completion {
        self.journal.begin(&record);
        self.journal.end_in_order(&record);
        Completion::Done
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn for_longer_than_a_session_the_membership_stays_and_one_can_be_let_through() {
    const COUNT: u64 = 2000;
    let topic = Topic::new("held", 2).await;
    let handler = Arc::new(Gated { gate: Semaphore::new(0), journal: Journal::default() });
    // Far more than this one may hold in memory, so intake pauses.
    topic.write(0..COUNT, 100).await;
    let member = topic.member(4, &handler);
    tests::eventually(PATIENCE, "readiness", async || member.health.is_ready().then_some(())).await;
    let until = Instant::now() + Duration::from_secs(14);
    while Instant::now() < until {
        assert!(member.health.is_ready(), "{:?}", member.health.snapshot());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(handler.journal.with(|entries| entries.total), 0);
    handler.gate.add_permits(1);
    handler.journal.wait_for(1).await;

    // Another member takes half of it over without waiting for what is held.
    let before = Instant::now();
    let other = topic.member(4, &handler);
    tests::eventually(PATIENCE, "readiness", async || other.health.is_ready().then_some(())).await;
    assert!(before.elapsed() < Duration::from_secs(9), "held records were waited for: {:?}", before.elapsed());
    assert_eq!(handler.journal.with(|entries| entries.total), 1);

    handler.gate.add_permits(usize::try_from(COUNT).unwrap());
    handler.journal.wait_for(usize::try_from(COUNT).unwrap()).await;
    assert_eq!(handler.journal.with(|entries| entries.total), usize::try_from(COUNT).unwrap(), "nothing came twice");
    let before = Instant::now();
    topic.write(COUNT..COUNT + 100, 100).await;
    other.stop().await;
    member.stop().await;
    assert!(before.elapsed() < Duration::from_secs(9), "a stop waits for nothing that is held");
}
