//! What is looked at every few seconds: the database's connections, the ledger and the outbox.

use std::time::Duration;

use bookings::store::Store;
use runtime::metrics::{
    CHANGES_OLDEST_PENDING, CHANGES_PENDING, DATABASE_POOL_CONNECTIONS, DATABASE_POOL_LIMIT, DATABASE_POOL_WAITING,
    STRIPE_OLDEST_PENDING, STRIPE_PENDING,
};
use runtime::shutdown::Shutdown;

const INTERVAL: Duration = Duration::from_secs(2);
/// Between two looks at the ledger and the outbox, in intervals: every processor sees the same.
const LEDGER_EVERY: u32 = 5;

/// Looks until shutdown.
pub(crate) async fn watch(store: Store, shutdown: Shutdown) {
    let mut turn = 0;
    while !shutdown.is_cancelled() {
        show_pool(&store);
        if turn % LEDGER_EVERY == 0 {
            show_ledger(&store).await;
            show_outbox(&store).await;
        }
        turn = turn.wrapping_add(1);
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float, and there are a thousand connections at most")]
fn show_pool(store: &Store) {
    let pool = store.pool();
    metrics::gauge!(DATABASE_POOL_CONNECTIONS, "state" => "in_use").set(pool.in_use as f64);
    metrics::gauge!(DATABASE_POOL_CONNECTIONS, "state" => "idle").set(pool.idle as f64);
    metrics::gauge!(DATABASE_POOL_LIMIT).set(pool.limit as f64);
    metrics::gauge!(DATABASE_POOL_WAITING).set(pool.waiting as f64);
}

/// While the database is away, the gauges stay as they were: its own watch tells.
async fn show_ledger(store: &Store) {
    match store.pending_operations().await {
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float, and no ledger has 2^52 operations")]
        Ok(pending) => {
            metrics::gauge!(STRIPE_PENDING).set(pending.count as f64);
            metrics::gauge!(STRIPE_OLDEST_PENDING).set(pending.oldest.as_secs_f64());
        }
        Err(error) => tracing::debug!(%error, "could not look at the ledger"),
    }
}

async fn show_outbox(store: &Store) {
    match store.pending_changes().await {
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float, and no outbox has 2^52 entries")]
        Ok(pending) => {
            metrics::gauge!(CHANGES_PENDING).set(pending.count as f64);
            metrics::gauge!(CHANGES_OLDEST_PENDING).set(pending.oldest.as_secs_f64());
        }
        Err(error) => tracing::debug!(%error, "could not look at the outbox"),
    }
}
