//! Waiting for a condition, with a deadline; the alternative to sleeping and hoping.

use std::time::{Duration, Instant};

const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Calls `condition` until it yields a value, and returns that.
///
/// # Panics
/// When `deadline` has passed; `what` completes the sentence "gave up waiting for …".
#[track_caller]
pub fn eventually<T>(
    deadline: Duration,
    what: impl std::fmt::Display,
    condition: impl AsyncFnMut() -> Option<T>,
) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    async move {
        let value = within(deadline, condition).await;
        value.unwrap_or_else(|| panic!("gave up waiting for {what} after {deadline:?} ({caller})"))
    }
}

/// The same without the panic: `None` when `deadline` has passed.
pub async fn within<T>(deadline: Duration, mut condition: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let until = Instant::now() + deadline;
    let mut pause = FIRST_PAUSE;
    loop {
        // A condition that hangs (a request to a frozen server) must not outlive the deadline.
        let left = until.saturating_duration_since(Instant::now()) + LONGEST_PAUSE;
        if let Ok(Some(value)) = tokio::time::timeout(left, condition()).await {
            return Some(value);
        }
        if Instant::now() >= until {
            return None;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
