//! What a connection is being used for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// How often a connection is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// The requests of one connection. HTTP/2 can have several open.
#[derive(Debug, Default)]
pub(super) struct Activity {
    begun: AtomicU64,
    open: AtomicUsize,
}

/// A request that is open until this is dropped.
#[derive(Debug)]
pub(super) struct Open(Arc<Activity>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Activity {
    /// A request's head has come.
    pub(super) fn begin(self: &Arc<Self>) -> Open {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::Relaxed);
        Open(self.clone())
    }

    /// Whether a request is open.
    pub(super) fn is_busy(&self) -> bool {
        self.open.load(Ordering::Relaxed) > 0
    }

    /// Returns when the connection is not worth its place: after `patience` without a first request, and sooner, also
    /// between requests, when it stays idle while places are scarce.
    pub(super) async fn outstays(&self, patience: Duration, is_scarce: impl Fn() -> bool) {
        let (mut before, mut waited) = (0, Duration::ZERO);
        loop {
            tokio::time::sleep(LOOK).await;
            waited += LOOK;
            let begun = self.begun.load(Ordering::Relaxed);
            let idle = begun == before && !self.is_busy();
            if idle && ((begun == 0 && waited >= patience) || is_scarce()) {
                return;
            }
            before = begun;
        }
    }
}
