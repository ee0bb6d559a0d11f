//! The flow without a broker: what is held, what is withdrawn.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc};

use super::*;
use crate::kafka::consumer::Handler;

const SOON: Duration = Duration::from_secs(10);

/// Lets as many records in as its gate has permits, and tells which it handled.
struct Gated {
    gate: Semaphore,
    handled: mpsc::Sender<i64>,
}

impl Handler for Gated {
    async fn admit(&self) {
        self.gate.acquire().await.unwrap().forget();
    }

    async fn handle(&self, record: Record) -> Completion {
        self.handled.send(record.offset).await.unwrap();
        Completion::Done
    }
}

fn record(key: &str, offset: i64) -> Record {
    Record {
        topic: "topic".into(),
        partition: 0,
        offset,
        key: Some(key.as_bytes().to_vec()),
        value: vec![0; 100],
        timestamp: None,
        headers: Vec::new(),
    }
}

fn partitions() -> Vec<Partition> {
    vec![("topic".into(), 0)]
}

fn held(concurrency: usize) -> (Arc<Flow>, Arc<Gated>, mpsc::Receiver<i64>) {
    let (handled, seen) = mpsc::channel(1000);
    let flow = Arc::new(Flow::new(concurrency));
    flow.assign("topic", 0, None);
    (flow, Arc::new(Gated { gate: Semaphore::new(0), handled }), seen)
}

fn take_in(flow: &Arc<Flow>, handler: &Arc<Gated>, record: Record) {
    for lane in flow.accept([record]) {
        let (flow, handler) = (flow.clone(), handler.clone());
        tokio::spawn(async move { flow.run_lane(lane, &*handler).await });
    }
}

async fn idle(flow: &Arc<Flow>) {
    let flow = flow.clone();
    let waited = tokio::task::spawn_blocking(move || {
        let until = Instant::now() + SOON;
        while Instant::now() < until && !flow.wait_idle(Duration::from_millis(5)) {}
        flow.wait_idle(Duration::ZERO)
    });
    assert!(waited.await.unwrap(), "records are still waiting");
}

#[tokio::test]
async fn one_is_let_through_and_the_others_go_with_their_partition() {
    let (flow, handler, mut seen) = held(2);
    for offset in 0..6 {
        take_in(&flow, &handler, record(&format!("key {}", offset % 4), offset));
    }
    handler.gate.add_permits(1);
    let probe = tokio::time::timeout(SOON, seen.recv()).await.unwrap().unwrap();
    let before = Instant::now();
    flow.drain(&partitions(), before + SOON);
    assert!(before.elapsed() < SOON, "held records are not waited for");
    flow.drop_partitions(&partitions());
    idle(&flow).await;
    // A partition that comes back begins anew, and nobody of the first assignment is left to take its place.
    flow.assign("topic", 0, None);
    take_in(&flow, &handler, record("key 0", 7));
    handler.gate.add_permits(1);
    assert_eq!(tokio::time::timeout(SOON, seen.recv()).await.unwrap(), Some(7), "the probe was {probe}");
    idle(&flow).await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_held_records() {
    let (flow, handler, mut seen) = held(2);
    for offset in 0..6 {
        take_in(&flow, &handler, record(&format!("key {offset}"), offset));
    }
    flow.stop();
    idle(&flow).await;
    assert!(seen.try_recv().is_err());
    let mark = Mark { topic: "topic".into(), partition: 0, offset: 0, beyond: String::new() };
    assert_eq!(flow.take_commits(), [mark], "nothing is finished");
}
