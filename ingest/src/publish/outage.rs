//! Logs an outage once, not once for every delivery that it hits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use runtime::kafka::{Delivered, SendError};

/// Whether the last delivery could not be made durable. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Outage(Arc<AtomicBool>);

impl Outage {
    /// Takes what became of a delivery; logs when that is a change.
    pub(super) fn note(&self, sent: &Result<Delivered, SendError>) {
        let failed = sent.is_err();
        // Read first: while all goes well, the cores need not pass the line around.
        if self.0.load(Ordering::Relaxed) == failed || self.0.swap(failed, Ordering::Relaxed) == failed {
            return;
        }
        match sent {
            Ok(_) => tracing::info!("deliveries are durable again"),
            Err(error) => tracing::warn!(%error, "deliveries cannot be made durable; senders are asked to come again"),
        }
    }
}
