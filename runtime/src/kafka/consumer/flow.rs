//! What is in flight: lanes by key, trackers by partition, and the limits on both.

mod figures;

use std::collections::hash_map::{Entry, RandomState};
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};

use super::tracker::Tracker;
use super::{Completion, marks};
use crate::kafka::record::Record;

/// How far intake of one partition may be ahead of its oldest unfinished record: what a crash repeats at most.
const MAX_SPAN: i64 = 10_000;
/// Bytes of records that may wait in memory.
const MAX_BYTES: usize = 64 * 1024 * 1024;

pub(super) type Partition = (String, i32);

/// Tells an assignment of a partition from an earlier one of the same partition, whose stragglers must not count.
type Epoch = u64;

/// An offset to commit, with what is finished beyond it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) topic: Arc<str>,
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) beyond: String,
}

/// The first record of a lane that nobody runs yet.
pub(super) struct Lane {
    pub(super) key: u64,
    pub(super) first: Work,
}

pub(super) struct Work {
    pub(super) record: Record,
    pub(super) epoch: Epoch,
}

#[derive(Default)]
struct State {
    /// A lane that is present is being run; its queue is what waits behind the running record.
    lanes: HashMap<u64, VecDeque<Work>>,
    trackers: HashMap<Epoch, Tracker>,
    assigned: HashMap<Arc<str>, HashMap<i32, Epoch>>,
    waiting: usize,
    bytes: usize,
    last_epoch: Epoch,
    stopping: bool,
    /// When what still runs has had its time.
    stop_by: Option<Instant>,
    /// Threads that wait for a change. Waking nobody costs a system call too.
    observers: usize,
}

impl State {
    /// Whether a record of this assignment may begin: not when its partition is going or gone.
    fn may_begin(&self, epoch: Epoch) -> bool {
        !self.stopping && self.trackers.get(&epoch).is_some_and(|tracker| !tracker.draining)
    }

    fn epoch(&self, topic: &str, partition: i32) -> Option<Epoch> {
        self.assigned.get(topic)?.get(&partition).copied()
    }

    fn assign(&mut self, topic: &str, partition: i32, finished_before: Vec<Range<i64>>) -> Epoch {
        self.unassign(topic, partition);
        self.last_epoch += 1;
        let epoch = self.last_epoch;
        let topic: Arc<str> = topic.into();
        self.trackers.insert(epoch, Tracker::new(topic.clone(), partition, finished_before));
        self.assigned.entry(topic).or_default().insert(partition, epoch);
        epoch
    }

    fn unassign(&mut self, topic: &str, partition: i32) {
        if let Some(epoch) = self.assigned.get_mut(topic).and_then(|partitions| partitions.remove(&partition)) {
            self.trackers.remove(&epoch);
        }
    }

    fn trackers_of<'a>(&'a self, partitions: &'a [Partition]) -> impl Iterator<Item = &'a Tracker> {
        let epochs = partitions.iter().filter_map(|(topic, number)| self.epoch(topic, *number));
        epochs.filter_map(|epoch| self.trackers.get(&epoch))
    }

    fn tracker_mut(&mut self, topic: &str, partition: i32) -> Option<&mut Tracker> {
        let epoch = self.epoch(topic, partition)?;
        self.trackers.get_mut(&epoch)
    }

    /// Takes a record in. Returns its lane when somebody has to start running it.
    fn accept(&mut self, record: Record, key: u64) -> Option<Lane> {
        if self.stopping {
            return None;
        }
        let mut epoch = self.epoch(&record.topic, record.partition)?;
        if self.trackers.get(&epoch)?.rewinds_at(record.offset) {
            epoch = self.assign(&record.topic, record.partition, Vec::new());
        }
        if !self.trackers.get_mut(&epoch)?.start(record.offset, record.timestamp) {
            return None;
        }
        self.waiting += 1;
        self.bytes += record.weight();
        let work = Work { record, epoch };
        match self.lanes.entry(key) {
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
}

pub(super) struct Flow {
    state: Mutex<State>,
    changed: Condvar,
    pub(super) permits: Semaphore,
    max_waiting: usize,
    hasher: RandomState,
    pub(super) panicked: AtomicBool,
    pub(super) abandoned: AtomicBool,
    /// The brokers refuse metadata of this size, so commits go without.
    plain: AtomicBool,
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
            abandoned: AtomicBool::new(false),
            plain: AtomicBool::new(false),
            withdrawn: watch::Sender::new(()),
        }
    }

    /// A poisoned lock is taken all the same: no code of ours panics while it holds it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins an assignment. `committed` is its committed offset and the metadata beside it, as far as they are known.
    pub(super) fn assign(&self, topic: &str, partition: i32, committed: Option<(i64, &str)>) {
        let finished = committed.map_or_else(Vec::new, |(offset, beyond)| marks::decode(beyond, offset));
        self.lock().assign(topic, partition, finished);
    }

    /// Takes records in. Returns the lanes that somebody has to start running.
    pub(super) fn accept(&self, records: impl IntoIterator<Item = Record>) -> Vec<Lane> {
        let mut state = self.lock();
        let keyed = records.into_iter().map(|record| (self.key(&record), record));
        keyed.filter_map(|(key, record)| state.accept(record, key)).collect()
    }

    fn key(&self, record: &Record) -> u64 {
        match &record.key {
            Some(key) => self.hasher.hash_one(key),
            None => self.hasher.hash_one((&record.topic, record.partition)),
        }
    }

    /// Counts a record as running, if it may begin.
    pub(super) fn begin(&self, epoch: Epoch) -> bool {
        let mut state = self.lock();
        let may = state.may_begin(epoch);
        if let Some(tracker) = state.trackers.get_mut(&epoch).filter(|_| may) {
            tracker.running += 1;
        }
        may
    }

    /// A record that was begun waits for its next turn.
    pub(super) fn put_back(&self, epoch: Epoch) {
        let mut state = self.lock();
        if let Some(tracker) = state.trackers.get_mut(&epoch) {
            tracker.running -= 1;
        }
        if state.observers > 0 {
            self.changed.notify_all();
        }
    }

    /// Settles a record of a lane, and takes the lane's next one.
    pub(super) fn end(
        &self,
        key: u64,
        epoch: Epoch,
        offset: i64,
        weight: usize,
        outcome: Option<&Completion>,
    ) -> Option<Work> {
        let mut state = self.lock();
        state.waiting -= 1;
        state.bytes -= weight;
        if let Some(tracker) = state.trackers.get_mut(&epoch) {
            tracker.running -= usize::from(outcome.is_some());
            match outcome {
                Some(Completion::Done) => tracker.finish(offset),
                // Stays unfinished: the mark must not pass it.
                Some(Completion::Abandoned | Completion::Again(_)) | None => {}
            }
        }
        let next = state.lanes.get_mut(&key).and_then(VecDeque::pop_front);
        if next.is_none() {
            state.lanes.remove(&key);
        }
        if state.observers > 0 {
            self.changed.notify_all();
        }
        next
    }

    /// Resolves when records of this assignment must not begin any more.
    pub(super) async fn withdrawal(&self, epoch: Epoch) {
        let mut withdrawn = self.withdrawn.subscribe();
        while self.lock().may_begin(epoch) {
            if withdrawn.changed().await.is_err() {
                return;
            }
        }
    }

    /// Waits up to a moment for room to take records in; true when there is.
    ///
    /// Pausing throws away what librdkafka has read ahead, so a consumer that is merely busy waits here instead.
    pub(super) fn wait_for_room(&self, moment: Duration) -> bool {
        if self.lock().has_room(self.max_waiting) {
            return true;
        }
        // Until a good part is free, so that it is not one wake-up for each record.
        self.wait_until(Instant::now() + moment, |state| state.is_roomy(self.max_waiting))
    }

    /// Which partitions to pause and which to resume now; `all` when nothing may be read at present.
    pub(super) fn regulate(&self, all: bool) -> (Vec<Partition>, Vec<Partition>) {
        let mut state = self.lock();
        let roomy = state.is_roomy(self.max_waiting);
        let (mut pause, mut resume) = (Vec::new(), Vec::new());
        for tracker in state.trackers.values_mut() {
            let name = || (tracker.topic.to_string(), tracker.partition);
            if !tracker.paused && (all || tracker.span() >= MAX_SPAN) {
                pause.push(name());
                tracker.paused = true;
            } else if tracker.paused && roomy && tracker.span() < MAX_SPAN / 2 {
                resume.push(name());
                tracker.paused = false;
            }
        }
        (pause, resume)
    }

    /// The offsets to commit: what changed since the last time.
    pub(super) fn take_commits(&self) -> Vec<Mark> {
        let mut state = self.lock();
        state.trackers.values_mut().filter_map(|tracker| self.mark(tracker)).collect()
    }

    /// The last offsets to commit, of all partitions or of those given. Changed or not: an earlier commit may be under
    /// way that will fail, and then nobody is left to hear of it.
    pub(super) fn last_commits(&self, only: Option<&[Partition]>) -> Vec<Mark> {
        let mut state = self.lock();
        let wanted = state.trackers.values_mut().filter(|tracker| {
            only.is_none_or(|list| list.iter().any(|(t, p)| **t == *tracker.topic && *p == tracker.partition))
        });
        let mark = |tracker: &mut Tracker| {
            tracker.forget_commit();
            self.mark(tracker)
        };
        wanted.filter_map(mark).collect()
    }

    fn mark(&self, tracker: &mut Tracker) -> Option<Mark> {
        let (offset, mut beyond) = tracker.take_commit()?;
        if self.plain.load(Ordering::Relaxed) {
            beyond.clear();
        }
        Some(Mark { topic: tracker.topic.clone(), partition: tracker.partition, offset, beyond })
    }

    /// A commit failed; it is made again.
    pub(super) fn forget_commit(&self, topic: &str, partition: i32) {
        if let Some(tracker) = self.lock().tracker_mut(topic, partition) {
            tracker.forget_commit();
        }
    }

    /// From now on commits carry the offset alone. True the first time.
    pub(super) fn commit_plainly(&self) -> bool {
        !self.plain.swap(true, Ordering::Relaxed)
    }

    /// Begins nothing more of these partitions, and waits until what already runs has finished, or the deadline.
    pub(super) fn drain(&self, partitions: &[Partition], deadline: Instant) {
        let mut state = self.lock();
        for (topic, partition) in partitions {
            if let Some(tracker) = state.tracker_mut(topic, *partition) {
                tracker.draining = true;
            }
        }
        let stop_by = state.stop_by;
        drop(state);
        self.withdrawn.send_replace(());
        // A service that stops has its own deadline, and is not to wait for the same records twice.
        let deadline = stop_by.map_or(deadline, |stop_by| deadline.min(stop_by));
        self.wait_until(deadline, |state| state.trackers_of(partitions).all(|tracker| tracker.running == 0));
    }

    /// Forgets partitions: their waiting records are skipped, and stragglers no longer count.
    pub(super) fn drop_partitions(&self, partitions: &[Partition]) {
        let mut state = self.lock();
        for (topic, partition) in partitions {
            state.unassign(topic, *partition);
        }
        drop(state);
        self.withdrawn.send_replace(());
    }

    /// From now on nothing new is begun.
    pub(super) fn stop(&self) {
        self.lock().stopping = true;
        self.withdrawn.send_replace(());
    }

    /// The same, with the time by which what runs has to be finished.
    pub(super) fn stop_by(&self, deadline: Instant) {
        let mut state = self.lock();
        state.stopping = true;
        state.stop_by = Some(deadline);
        drop(state);
        self.withdrawn.send_replace(());
    }

    /// Waits a moment; true when nothing is being handled any more.
    pub(super) fn wait_idle(&self, moment: Duration) -> bool {
        self.wait_until(Instant::now() + moment, |state| state.waiting == 0)
    }

    fn wait_until(&self, deadline: Instant, met: impl Fn(&State) -> bool) -> bool {
        let mut state = self.lock();
        state.observers += 1;
        while !met(&state) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.observers -= 1;
        met(&state)
    }

    pub(super) fn handler_panicked(&self) -> bool {
        self.panicked.load(Ordering::Relaxed)
    }

    pub(super) fn record_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Relaxed)
    }
}

impl State {
    fn has_room(&self, max_waiting: usize) -> bool {
        self.waiting < max_waiting && self.bytes < MAX_BYTES
    }

    fn is_roomy(&self, max_waiting: usize) -> bool {
        self.waiting <= max_waiting / 2 && self.bytes <= MAX_BYTES / 2
    }
}

#[cfg(test)]
#[path = "flow_tests.rs"]
mod tests;
