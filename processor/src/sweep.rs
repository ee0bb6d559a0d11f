//! Finishes operations that no event will come back for: their event is in the DLQ or was never one.

use std::time::Duration;

use bookings::store::{Store, StoreError};
use runtime::shutdown::Shutdown;

use crate::execute::Executor;

const INTERVAL: Duration = Duration::from_secs(1);
/// An event that is being handled or retried is given this long to finish its operations itself.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(5);
/// Between two looks at the same booking, when the first came to nothing.
const PAUSE: Duration = Duration::from_mins(5);
const BATCH: i64 = 20;

/// Looks for forgotten operations. Several processors may do so at once: leases keep them apart.
pub struct Sweeper {
    store: Store,
    executor: Executor,
}

impl Sweeper {
    /// A sweeper of this ledger.
    pub fn new(store: Store, executor: Executor) -> Self {
        Self { store, executor }
    }

    /// Sweeps until shutdown.
    pub async fn run(self, shutdown: Shutdown) {
        while !shutdown.is_cancelled() {
            if let Err(error) = self.sweep().await {
                // The database's own watch tells the operator when it is away.
                tracing::debug!(%error, "could not look for forgotten operations");
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }

    async fn sweep(&self) -> Result<(), StoreError> {
        let mut bookings = self.store.plan_requested().await?;
        bookings.extend(self.store.forgotten(FORGOTTEN_AFTER, BATCH).await?);
        for booking_id in bookings {
            if let Err(error) = self.executor.run(booking_id).await {
                tracing::warn!(%booking_id, %error, "an operation that no event waits for failed again");
                self.store.postpone(booking_id, PAUSE).await?;
            }
        }
        Ok(())
    }
}
