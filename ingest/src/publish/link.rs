//! Whether Kafka takes records, as far as the last ones tell. Says so once, not once for every delivery.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Mutex, MutexGuard};

/// The state of the way to Kafka. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Link(Arc<State>);

#[derive(Debug, Default)]
struct State {
    is_away: AtomicBool,
    turn: Mutex<()>,
}

impl Link {
    /// Kafka did not acknowledge in time: until it is found again, deliveries do not wait for it.
    pub(crate) fn is_away(&self) -> bool {
        self.0.is_away.load(Ordering::Relaxed)
    }

    /// Lets one request at a time find out whether Kafka is back, while the others do not wait for that.
    pub(crate) fn turn(&self) -> Option<MutexGuard<'_, ()>> {
        self.0.turn.try_lock().ok()
    }

    pub(crate) fn lost(&self, reason: &str) {
        if !self.0.is_away.swap(true, Ordering::Relaxed) {
            tracing::warn!(reason, "Kafka does not take records in time; deliveries are spooled");
        }
    }

    pub(crate) fn found(&self) {
        // Read first: while all goes well, the cores need not pass the line around.
        if self.is_away() && self.0.is_away.swap(false, Ordering::Relaxed) {
            tracing::info!("Kafka takes records again");
        }
    }
}
