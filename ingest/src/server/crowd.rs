//! The places for connections: how many there are, and whether they are getting scarce.

use std::sync::Arc;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// More wait in the listener's queue until others are closed.
const MOST: u64 = 10_000;
/// File descriptors for everything else: brokers, the spool, the operators' server.
const RESERVED: u64 = 256;

/// The places of one server. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Crowd {
    free: Arc<Semaphore>,
    scarce: usize,
}

impl Crowd {
    /// As many places as the process may have files for, after asking the system for all that it gives.
    pub(super) fn of_this_process() -> Self {
        Self::with_room_for(usize::try_from(MOST.min(files().saturating_sub(RESERVED)).max(64)).unwrap_or(64))
    }

    pub(super) fn with_room_for(places: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(places)), scarce: places / 8 }
    }

    /// A place, until this is dropped.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed, so there is always a permit to come.
        self.free.clone().acquire_owned().await.ok()
    }

    /// Whether connections that are not used had better give up their places.
    pub(super) fn is_dense(&self) -> bool {
        self.free.available_permits() <= self.scarce
    }
}

/// How many files this process may have open. The usual limit of 1024 is for programs that use `select`.
fn files() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.unwrap_or(u64::MAX).min(MOST + RESERVED);
    let current = current.unwrap_or(u64::MAX);
    if wanted > current && setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).is_ok() {
        return wanted;
    }
    current
}
