//! How the store is doing, for those who watch it.

use std::time::Duration;

use super::Store;
use super::error::StoreError;

/// The connections of a [`Store`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolStatus {
    /// Lent to somebody.
    pub in_use: usize,
    /// Open, and waiting to be lent.
    pub idle: usize,
    /// The most that there may be.
    pub limit: usize,
    /// Tasks that wait for one.
    pub waiting: usize,
}

/// Operations at Stripe that are planned and not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingOperations {
    /// How many.
    pub count: i64,
    /// How long ago the oldest was planned; zero when there is none.
    pub oldest: Duration,
}

impl Store {
    /// The connections now.
    pub fn pool(&self) -> PoolStatus {
        let status = self.pool.status();
        // Who waits counts as negative, or beside the available ones, depending on the moment.
        let idle = status.available.min(status.size);
        PoolStatus { in_use: status.size - idle, idle, limit: status.max_size, waiting: status.waiting }
    }

    /// What is pending in the ledger, by the database's clock.
    pub async fn pending_operations(&self) -> Result<PendingOperations, StoreError> {
        let client = self.client().await?;
        let statement = client
            .prepare_cached(
                "SELECT count(*), greatest(extract(epoch FROM now() - min(created_at)), 0)::float8 \
                 FROM stripe_operations WHERE state = 'pending'",
            )
            .await?;
        let row = client.query_one(&statement, &[]).await?;
        let oldest = row.get::<_, Option<f64>>(1).unwrap_or_default();
        Ok(PendingOperations { count: row.get(0), oldest: Duration::try_from_secs_f64(oldest).unwrap_or_default() })
    }
}
