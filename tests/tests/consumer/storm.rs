//! Members that come and go every second.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use runtime::kafka::Record;
use runtime::kafka::consumer::{Completion, Handler};

use crate::fixture::{Journal, Topic};

const LASTS: Duration = Duration::from_mins(1);
const IN_FLIGHT: usize = 16;

/// Takes between 0 and 60 ms.
#[derive(Default)]
struct Uneven(Journal);

impl Handler for Uneven {
    async fn handle(&self, record: Record) -> Completion {
        tokio::time::sleep(Duration::from_millis(rand::random_range(0..60))).await;
        self.0.end(&record);
        Completion::Done
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_that_come_and_go_every_second_lose_nothing() {
    let topic = Arc::new(Topic::new("storm", 6).await);
    let handler = Arc::new(Uneven::default());
    let until = Instant::now() + LASTS;
    let written = Arc::new(AtomicU64::new(0));
    let writer = tokio::spawn({
        let (topic, written) = (topic.clone(), written.clone());
        async move {
            while Instant::now() < until {
                let from = written.load(Ordering::Relaxed);
                topic.write(from..from + 60, 97).await;
                written.store(from + 60, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    });
    let (mut members, mut leaving, mut changes) = (Vec::new(), Vec::new(), 0);
    while Instant::now() < until {
        if members.len() < 2 || members.len() < 5 && rand::random_bool(0.5) {
            members.push(topic.member(IN_FLIGHT, &handler));
        } else {
            let gone: crate::fixture::Member = members.swap_remove(rand::random_range(..members.len()));
            leaving.push(tokio::spawn(gone.stop()));
        }
        changes += 1;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    writer.await.unwrap();
    let count = usize::try_from(written.load(Ordering::Relaxed)).unwrap();
    handler.0.wait_for(count).await;
    for gone in leaving {
        gone.await.unwrap();
    }
    for member in members {
        member.stop().await;
    }
    let repeats = handler.0.with(|entries| entries.total) - count;
    println!("{count} records, {changes} changes of members, {repeats} repeats");
    // None, as a rule. A machine that stands still for a session's length may cost a member its partitions.
    assert!(repeats <= IN_FLIGHT * changes / 4, "{repeats} of {count} came twice in {changes} changes of members");
}
