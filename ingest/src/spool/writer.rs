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
use super::window::{Wanted, Window};
use super::{SpoolError, State};

/// The most that one transaction takes: what waits behind it should not wait long.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
const BATCH_COMMANDS: usize = 2048;
/// How long after a failure the file is opened again.
const REOPEN_PAUSE: Duration = Duration::from_millis(250);
/// How often it is tried, after a failure and without a record to write, whether the disk has room again.
const REHEARSE_PAUSE: Duration = Duration::from_secs(1);

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
    Read {
        wanted: Wanted,
        done: oneshot::Sender<Result<Window, SpoolError>>,
    },
}

type Waiting = Vec<oneshot::Sender<Result<(), SpoolError>>>;

pub(super) struct Writer {
    dir: PathBuf,
    max_bytes: u64,
    state: Arc<State>,
    store: Option<Store>,
    /// The id of the next entry, while there is no store to ask.
    next: u64,
    reopen_at: Instant,
    rehearse_at: Instant,
    /// The size of what could not be written.
    failed_bytes: usize,
    removed: BTreeSet<u64>,
    was_full: bool,
}

impl Writer {
    pub(super) fn new(dir: PathBuf, max_bytes: u64, store: Store, state: Arc<State>) -> Self {
        let now = Instant::now();
        // What an earlier process left is as old as it is, whether or not the drainer gets to read it.
        let oldest = store.oldest(|_| false).ok().flatten();
        state.oldest.store(oldest.map_or(0, Timestamp::as_millisecond), Ordering::Relaxed);
        let writer = Self {
            dir,
            max_bytes,
            state,
            next: store.next(),
            store: Some(store),
            reopen_at: now,
            rehearse_at: now,
            failed_bytes: 0,
            removed: BTreeSet::new(),
            was_full: false,
        };
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
        let (mut add, mut waiting, mut bytes, mut reads) = (Vec::new(), Vec::new(), 0, Vec::new());
        let mut next = Some(first);
        while let Some(command) = next {
            match command {
                // Its request has given up and was answered with 503: the sender comes again.
                Command::Append { done, .. } if done.is_closed() => {}
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
                Command::Read { wanted, done } => reads.push((wanted, done)),
            }
            let is_large = bytes >= BATCH_BYTES || add.len() >= BATCH_COMMANDS;
            next = if is_large { None } else { commands.try_recv().ok() };
        }
        self.change(&add, waiting);
        for (wanted, done) in reads {
            let _ = done.send(self.read(&wanted));
        }
        self.rehearse();
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
            if !add.is_empty() {
                self.has_room_again();
            }
            self.removed.clear();
            if let Some(store) = &mut self.store {
                store.shrink();
            }
            self.was_full = self.was_full && !self.has_room_for(BATCH_BYTES.min(self.quarter()));
        }
        if changed.is_err() {
            self.failed_bytes = self.failed_bytes.max(add.iter().map(Vec::len).sum());
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

    fn read(&mut self, wanted: &Wanted) -> Result<Window, SpoolError> {
        let removed = std::mem::take(&mut self.removed);
        let read = self.with_store(|store| {
            let is_removed = |id| removed.contains(&id);
            let mut window = store.read(wanted, is_removed)?;
            let known: BTreeSet<_> = window.entries.iter().map(|(id, _)| *id).collect();
            let newest = store.newest(wanted.newest, |id| is_removed(id) || known.contains(&id))?;
            window.entries.extend(newest.into_iter().rev());
            Ok((window, store.oldest(is_removed)?))
        });
        self.removed = removed;
        let (window, oldest) = read?;
        self.state.oldest.store(oldest.map_or(0, Timestamp::as_millisecond), Ordering::Relaxed);
        self.state.show();
        Ok(window)
    }

    /// After a failure, writes something of the size that failed: nobody else may ask for a commit any more, and that
    /// the file can be read, or something taken out of it, proves nothing.
    fn rehearse(&mut self) {
        let now = Instant::now();
        if self.state.is_failing() && now >= self.rehearse_at {
            self.rehearse_at = now + REHEARSE_PAUSE;
            let bytes = self.failed_bytes;
            if self.with_store(|store| store.rehearse(bytes)).is_ok() {
                self.has_room_again();
            }
        }
    }

    fn has_room_again(&mut self) {
        self.failed_bytes = 0;
        self.state.recovered();
    }

    /// Does something with the file. After a failure it has to be opened again, which brings it back to the last
    /// commit; a disk that was full may have room then.
    fn with_store<T>(&mut self, work: impl FnOnce(&mut Store) -> Result<T, StoreError>) -> Result<T, SpoolError> {
        if self.store.is_none() {
            self.reopen()?;
        }
        let store = self.store.as_mut().ok_or(SpoolError::Failed)?;
        match work(store) {
            Ok(done) => Ok(done),
            Err(error) => {
                self.next = store.next();
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
        match Store::reopen(&self.dir, self.next) {
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
