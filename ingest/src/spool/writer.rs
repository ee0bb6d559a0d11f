//! The one thread that touches the spool's file. Whatever waits for it is done in one transaction, so one fsync serves
//! many requests.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

use super::store::{Depth, Store, StoreError};
use super::{SpoolError, State, entry};

/// The most that one transaction takes: what waits behind it should not wait long.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
const BATCH_COMMANDS: usize = 2048;
/// How long after a failure the file is opened again.
const REOPEN_PAUSE: Duration = Duration::from_millis(250);

/// Oldest entries, with their ids.
pub(super) type Head = Vec<(u64, Vec<u8>)>;

/// What the thread is asked for.
pub(super) enum Command {
    Append {
        entry: Vec<u8>,
        done: oneshot::Sender<Result<(), SpoolError>>,
    },
    /// Needs no answer: what cannot be removed now is removed later, and not given out meanwhile.
    Remove {
        ids: Vec<u64>,
    },
    Head {
        skip: BTreeSet<u64>,
        count: usize,
        bytes: usize,
        done: oneshot::Sender<Result<Head, SpoolError>>,
    },
}

type Waiting = Vec<oneshot::Sender<Result<(), SpoolError>>>;

pub(super) struct Writer {
    dir: PathBuf,
    max_bytes: u64,
    state: Arc<State>,
    store: Option<Store>,
    reopen_at: Instant,
    removed: BTreeSet<u64>,
    was_full: bool,
}

impl Writer {
    pub(super) fn new(dir: PathBuf, max_bytes: u64, store: Store, state: Arc<State>) -> Self {
        let removed = BTreeSet::new();
        let writer =
            Self { dir, max_bytes, state, store: Some(store), reopen_at: Instant::now(), removed, was_full: false };
        writer.report();
        writer
    }

    /// Works until every sender is gone.
    pub(super) fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        while let Some(first) = commands.blocking_recv() {
            self.batch(first, &mut commands);
        }
    }

    fn batch(&mut self, first: Command, commands: &mut mpsc::Receiver<Command>) {
        let (mut add, mut waiting, mut bytes, mut heads) = (Vec::new(), Vec::new(), 0, Vec::new());
        let mut next = Some(first);
        while let Some(command) = next {
            match command {
                Command::Append { entry, done } => {
                    bytes += entry.len();
                    if self.has_room_for(bytes) {
                        add.push(entry);
                        waiting.push(done);
                    } else {
                        bytes -= entry.len();
                        let _ = done.send(Err(self.full()));
                    }
                }
                Command::Remove { ids } => self.removed.extend(ids),
                Command::Head { skip, count, bytes, done } => heads.push((skip, count, bytes, done)),
            }
            let is_large = bytes >= BATCH_BYTES || add.len() >= BATCH_COMMANDS;
            next = if is_large { None } else { commands.try_recv().ok() };
        }
        self.change(&add, waiting);
        for (skip, count, bytes, done) in heads {
            let _ = done.send(self.head(&skip, count, bytes));
        }
    }

    fn has_room_for(&self, bytes: usize) -> bool {
        let taken = self.store.as_ref().map_or_else(|| self.state.depth().bytes, |store| store.depth().bytes);
        taken.saturating_add(bytes as u64) <= self.max_bytes
    }

    fn full(&mut self) -> SpoolError {
        if !self.was_full {
            self.was_full = true;
            tracing::error!(max_bytes = self.max_bytes, "the spool is full: SPOOL_MAX_BYTES is reached");
        }
        SpoolError::Full
    }

    fn change(&mut self, add: &[Vec<u8>], waiting: Waiting) {
        if add.is_empty() && self.removed.is_empty() {
            return;
        }
        let removed = self.removed.clone();
        let changed = self.with_store(|store| store.change(add, &removed));
        if changed.is_ok() {
            self.removed.clear();
            if let Some(store) = &mut self.store {
                store.shrink();
            }
            self.was_full = self.was_full && !self.has_room_for(BATCH_BYTES.min(self.quarter()));
        }
        self.report();
        for done in waiting {
            let _ = done.send(changed);
        }
    }

    /// A spool counts as full until so much is free again; else every entry that leaves would be worth a log line.
    fn quarter(&self) -> usize {
        usize::try_from(self.max_bytes / 4).unwrap_or(usize::MAX)
    }

    fn head(&mut self, skip: &BTreeSet<u64>, count: usize, bytes: usize) -> Result<Head, SpoolError> {
        let removed = std::mem::take(&mut self.removed);
        let head = self.with_store(|store| store.head(|id| skip.contains(&id) || removed.contains(&id), count, bytes));
        self.removed = removed;
        let head = head?;
        let oldest = head.first().and_then(|(_, bytes)| entry::spooled_at(bytes)).map_or(0, Timestamp::as_millisecond);
        self.state.oldest.store(oldest, Ordering::Relaxed);
        Ok(head)
    }

    /// Does something with the file. After a failure it has to be opened again, which brings it back to the last
    /// commit; a disk that was full may have room then.
    fn with_store<T>(&mut self, work: impl FnOnce(&mut Store) -> Result<T, StoreError>) -> Result<T, SpoolError> {
        if self.store.is_none() {
            self.reopen()?;
        }
        let store = self.store.as_mut().ok_or(SpoolError::Failed)?;
        match work(store) {
            Ok(done) => {
                self.state.recovered();
                Ok(done)
            }
            Err(error) => {
                self.store = None;
                self.failed(&error);
                Err(SpoolError::Failed)
            }
        }
    }

    fn reopen(&mut self) -> Result<(), SpoolError> {
        if Instant::now() < self.reopen_at {
            return Err(SpoolError::Failed);
        }
        match Store::open(&self.dir) {
            Ok(store) => {
                self.store = Some(store);
                Ok(())
            }
            Err(error) => {
                self.failed(&error);
                Err(SpoolError::Failed)
            }
        }
    }

    fn failed(&mut self, error: &(dyn std::error::Error + 'static)) {
        self.reopen_at = Instant::now() + REOPEN_PAUSE;
        self.state.failed(error);
    }

    fn report(&self) {
        if let Some(store) = &self.store {
            let Depth { records, bytes } = store.depth();
            // What is sent and could not be removed yet does not wait any more.
            self.state.report(records.saturating_sub(self.removed.len() as u64), bytes);
        }
    }
}
