//! Finishes operations that no event will come back for: their event is in the DLQ or was never one.

use std::sync::Arc;
use std::time::Duration;

use bookings::store::{Store, StoreError};
use runtime::shutdown::Shutdown;
use tokio::time::Instant;
use uuid::Uuid;

use crate::breaker::{Breaker, Evidence};
use crate::execute::Executor;
use crate::failure::ProcessError;

const INTERVAL: Duration = Duration::from_secs(1);
/// An event that is being handled or retried is given this long to finish its operations itself.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(5);
/// Between two looks at the same booking, when the first came to nothing.
const PAUSE: Duration = Duration::from_mins(5);
const BATCH: i64 = 20;
/// Facts about payments that are none of ours are kept for as long as Stripe and the tiers may still bring ours.
const STRAYS_FOR: Duration = Duration::from_hours(30 * 24);
const STRAYS_INTERVAL: Duration = Duration::from_hours(1);

/// Looks for forgotten operations. Several processors may do so at once: leases keep them apart.
pub struct Sweeper {
    store: Store,
    executor: Executor,
    breaker: Arc<Breaker>,
}

impl Sweeper {
    /// A sweeper of this ledger.
    pub fn new(store: Store, executor: Executor, breaker: Arc<Breaker>) -> Self {
        Self { store, executor, breaker }
    }

    /// Sweeps until shutdown.
    pub async fn run(self, shutdown: Shutdown) {
        let mut strays_dropped: Option<Instant> = None;
        while !shutdown.is_cancelled() {
            if strays_dropped.is_none_or(|last| last.elapsed() > STRAYS_INTERVAL) {
                let _ = self.store.drop_strays(STRAYS_FOR).await;
                strays_dropped = Some(Instant::now());
            }
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
        for booking_id in self.store.checkout_requests().await? {
            // Planning is part of looking what is to do; after that the operation is in the ledger.
            if self.finish(booking_id).await? {
                self.store.request_planned(booking_id).await?;
            }
        }
        for booking_id in self.store.forgotten(FORGOTTEN_AFTER, BATCH).await? {
            self.finish(booking_id).await?;
        }
        Ok(())
    }

    /// True unless the database failed us: then nothing may have been planned.
    async fn finish(&self, booking_id: Uuid) -> Result<bool, StoreError> {
        // While all events are held back, a sweep is a probe like any other: it may be the last that asks for Stripe.
        self.breaker.admit().await;
        let finished = self.executor.finish(booking_id).await;
        let evidence = match &finished {
            Ok(asked_stripe) => Evidence::Works { asked_stripe: *asked_stripe },
            Err(error) => error.evidence(),
        };
        self.breaker.observe(booking_id.as_bytes(), evidence);
        let Err(error) = finished else { return Ok(true) };
        tracing::warn!(%booking_id, %error, "an operation that no event waits for failed again");
        self.store.postpone(booking_id, PAUSE).await?;
        Ok(!matches!(error, ProcessError::Store(StoreError::Unavailable(_) | StoreError::Raced(_))))
    }
}
