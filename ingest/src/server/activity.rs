//! What a connection is being used for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// The requests of one connection. HTTP/2 can have several open.
#[derive(Debug, Default)]
pub(super) struct Activity {
    begun: AtomicBool,
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
        self.begun.store(true, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::Relaxed);
        Open(self.clone())
    }

    /// Whether a request is open.
    pub(super) fn is_busy(&self) -> bool {
        self.open.load(Ordering::Relaxed) > 0
    }

    /// Returns after `patience` if there was no request by then, else never.
    pub(super) async fn stays_silent(&self, patience: Duration) {
        tokio::time::sleep(patience).await;
        if self.begun.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }
}
