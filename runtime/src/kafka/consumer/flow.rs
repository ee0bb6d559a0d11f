//! What is in flight: lanes by key, trackers by partition, and the limits on both.

use std::collections::hash_map::{Entry, RandomState};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::BuildHasher;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::sync::{Semaphore, SemaphorePermit, watch};

use super::tracker::Tracker;
use super::{Completion, Handler};
use crate::kafka::record::Record;

/// How far intake of one partition may be ahead of its oldest unfinished record: what a crash repeats at most.
const MAX_SPAN: i64 = 10_000;
/// Bytes of records that may wait in memory.
const MAX_BYTES: usize = 64 * 1024 * 1024;

pub(super) type Partition = (String, i32);

/// The first record of a lane that nobody runs yet.
pub(super) struct Lane {
    key: u64,
    first: Work,
}

struct Work {
    record: Record,
    epoch: u64,
}

#[derive(Default)]
struct State {
    /// A lane that is present is being run; its queue is what waits behind the running record.
    lanes: HashMap<u64, VecDeque<Work>>,
    trackers: HashMap<Partition, Tracker>,
    paused: BTreeSet<Partition>,
    waiting: usize,
    bytes: usize,
    epoch: u64,
    stopping: bool,
}

impl State {
    /// Whether a record of this assignment may begin: not when its partition is going or gone.
    fn may_begin(&self, partition: &Partition, epoch: u64) -> bool {
        let tracker = self.trackers.get(partition);
        !self.stopping && tracker.is_some_and(|tracker| tracker.epoch == epoch && !tracker.draining)
    }
}

pub(super) struct Flow {
    state: Mutex<State>,
    changed: Condvar,
    permits: Semaphore,
    max_waiting: usize,
    hasher: RandomState,
    panicked: AtomicBool,
    /// Told whenever records that have not begun may not begin any more.
    withdrawn: watch::Sender<()>,
}

impl Flow {
    pub(super) fn new(concurrency: usize) -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            permits: Semaphore::new(concurrency),
            // Enough behind the running ones that a hot key does not starve the others.
            max_waiting: concurrency * 16,
            hasher: RandomState::new(),
            panicked: AtomicBool::new(false),
            withdrawn: watch::Sender::new(()),
        }
    }

    /// A poisoned lock is taken all the same: no code of ours panics while it holds it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn assign(&self, partitions: &[Partition]) {
        let mut state = self.lock();
        for partition in partitions {
            state.epoch += 1;
            let epoch = state.epoch;
            state.trackers.insert(partition.clone(), Tracker::new(epoch));
            state.paused.remove(partition);
        }
    }

    /// Takes a record in. Returns its lane when somebody has to start running it.
    pub(super) fn accept(&self, record: Record) -> Option<Lane> {
        let key = match &record.key {
            Some(key) => self.hasher.hash_one(key),
            None => self.hasher.hash_one((&record.topic, record.partition)),
        };
        let mut state = self.lock();
        if state.stopping {
            return None;
        }
        let tracker = state.trackers.get_mut(&(record.topic.clone(), record.partition))?;
        tracker.start(record.offset);
        let work = Work { epoch: tracker.epoch, record };
        state.waiting += 1;
        state.bytes += work.record.weight();
        match state.lanes.entry(key) {
            Entry::Occupied(mut lane) => {
                lane.get_mut().push_back(work);
                None
            }
            Entry::Vacant(lane) => {
                lane.insert(VecDeque::new());
                Some(Lane { key, first: work })
            }
        }
    }

    /// Runs a lane until nothing waits in it.
    pub(super) async fn run_lane<H: Handler>(&self, lane: Lane, handler: &H) {
        let mut next = Some(lane.first);
        while let Some(work) = next {
            self.run(work, handler).await;
            next = self.next_in(lane.key);
        }
    }

    async fn run<H: Handler>(&self, work: Work, handler: &H) {
        let (partition, offset) = ((work.record.topic.clone(), work.record.partition), work.record.offset);
        let weight = work.record.weight();
        let permit = self.admitted(handler, &partition, work.epoch).await;
        let begun = permit.is_some();
        let completion = if begun {
            let outcome = AssertUnwindSafe(handler.handle(work.record)).catch_unwind().await;
            outcome.unwrap_or_else(|_| {
                self.panicked.store(true, Ordering::Relaxed);
                Completion::Abandoned
            })
        } else {
            Completion::Abandoned
        };
        let mut state = self.lock();
        state.waiting -= 1;
        state.bytes -= weight;
        if let Some(tracker) = state.trackers.get_mut(&partition).filter(|tracker| tracker.epoch == work.epoch) {
            tracker.running -= usize::from(begun);
            match completion {
                Completion::Done => tracker.finish(offset),
                // Stays unfinished: the mark must not pass it.
                Completion::Abandoned => {}
            }
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Waits for a permit and for the handler's leave, then begins. `None` when the record must not begin any more: the
    /// wait may be hours long, and neither a rebalance nor a shutdown waits for it.
    async fn admitted<H: Handler>(
        &self,
        handler: &H,
        partition: &Partition,
        epoch: u64,
    ) -> Option<SemaphorePermit<'_>> {
        let leave = async {
            let permit = self.permits.acquire().await.ok()?;
            handler.admit().await;
            Some(permit)
        };
        let permit = tokio::select! {
            // Who is admitted begins in the same breath: a breaker that lets one through waits for that one.
            biased;
            admitted = AssertUnwindSafe(leave).catch_unwind() => admitted.unwrap_or_else(|_| {
                self.panicked.store(true, Ordering::Relaxed);
                None
            }),
            () = self.withdrawal(partition, epoch) => None,
        };
        permit.filter(|_| self.begin(partition, epoch))
    }

    /// Resolves when records of this assignment must not begin any more.
    async fn withdrawal(&self, partition: &Partition, epoch: u64) {
        let mut withdrawn = self.withdrawn.subscribe();
        while self.lock().may_begin(partition, epoch) {
            if withdrawn.changed().await.is_err() {
                return;
            }
        }
    }

    fn next_in(&self, key: u64) -> Option<Work> {
        let mut state = self.lock();
        let next = state.lanes.get_mut(&key).and_then(VecDeque::pop_front);
        if next.is_none() {
            state.lanes.remove(&key);
        }
        next
    }

    /// Counts a record as running, if it may begin.
    fn begin(&self, partition: &Partition, epoch: u64) -> bool {
        let mut state = self.lock();
        if !state.may_begin(partition, epoch) {
            return false;
        }
        if let Some(tracker) = state.trackers.get_mut(partition) {
            tracker.running += 1;
        }
        true
    }

    /// Which partitions to pause and which to resume now.
    pub(super) fn regulate(&self) -> (Vec<Partition>, Vec<Partition>) {
        let mut state = self.lock();
        let full = state.waiting >= self.max_waiting || state.bytes >= MAX_BYTES;
        // Resuming only at half full: each pause throws librdkafka's prefetched records away.
        let roomy = state.waiting <= self.max_waiting / 2 && state.bytes <= MAX_BYTES / 2;
        if !full && state.paused.is_empty() && state.trackers.values().all(|tracker| tracker.span() < MAX_SPAN) {
            return (Vec::new(), Vec::new());
        }
        let mut pause = Vec::new();
        let mut resume = Vec::new();
        for (partition, tracker) in &state.trackers {
            let paused = state.paused.contains(partition);
            if !paused && (full || tracker.span() >= MAX_SPAN) {
                pause.push(partition.clone());
            } else if paused && roomy && tracker.span() < MAX_SPAN / 2 {
                resume.push(partition.clone());
            }
        }
        state.paused.extend(pause.iter().cloned());
        for partition in &resume {
            state.paused.remove(partition);
        }
        (pause, resume)
    }

    /// The offsets to commit, of all partitions or of those given.
    pub(super) fn take_commits(&self, only: Option<&[Partition]>) -> Vec<(String, i32, i64)> {
        let mut state = self.lock();
        let wanted =
            state.trackers.iter_mut().filter(|(partition, _)| only.is_none_or(|list| list.contains(partition)));
        wanted
            .filter_map(|((topic, partition), tracker)| Some((topic.clone(), *partition, tracker.take_commit()?)))
            .collect()
    }

    pub(super) fn forget_commits(&self, offsets: &[(String, i32, i64)]) {
        let mut state = self.lock();
        for (topic, partition, _) in offsets {
            if let Some(tracker) = state.trackers.get_mut(&(topic.clone(), *partition)) {
                tracker.forget_commit();
            }
        }
    }

    /// Begins nothing more of these partitions, and waits until what already runs has finished, or the deadline.
    pub(super) fn drain(&self, partitions: &[Partition], deadline: Instant) {
        let mut state = self.lock();
        for partition in partitions {
            if let Some(tracker) = state.trackers.get_mut(partition) {
                tracker.draining = true;
            }
        }
        self.withdrawn.send_replace(());
        // A service that stops has drained already: what runs still has had its time.
        while !state.stopping
            && partitions.iter().any(|partition| state.trackers.get(partition).is_some_and(|t| t.running > 0))
        {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Forgets partitions: their waiting records are skipped, and stragglers no longer count.
    pub(super) fn drop_partitions(&self, partitions: &[Partition]) {
        let mut state = self.lock();
        for partition in partitions {
            state.trackers.remove(partition);
            state.paused.remove(partition);
        }
        self.withdrawn.send_replace(());
    }

    /// From now on nothing new is begun.
    pub(super) fn stop(&self) {
        self.lock().stopping = true;
        self.withdrawn.send_replace(());
    }

    /// Waits a moment; true when nothing is being handled any more.
    pub(super) fn wait_idle(&self, moment: Duration) -> bool {
        let state = self.lock();
        if state.waiting == 0 {
            return true;
        }
        let state = self.changed.wait_timeout(state, moment).unwrap_or_else(PoisonError::into_inner).0;
        state.waiting == 0
    }

    pub(super) fn handler_panicked(&self) -> bool {
        self.panicked.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
#[path = "flow_tests.rs"]
mod tests;
