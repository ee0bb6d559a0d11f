//! The wire: TLS, passwords and rights at real servers, and the schema registry.

mod kafka;
mod postgres;
mod registry;
mod rights;

use std::time::Duration;

/// Far more than anything here takes, for machines that are busy with something else.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs something that blocks, such as the start of a server.
async fn blocking<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(run).await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}
