//! Lines that tell what is going on, with the time since the start.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// After so long without news a line says that the wait goes on.
const REMINDER: Duration = Duration::from_secs(5);

pub(super) struct Progress {
    started: Instant,
}

impl Progress {
    pub(super) fn start() -> Self {
        Self { started: Instant::now() }
    }

    pub(super) fn say(&self, text: impl Display) {
        println!("[{:5.1} s] {text}", self.started.elapsed().as_secs_f32());
    }

    /// Awaits `work`, and says every now and then that it still waits for `what`.
    pub(super) async fn waiting<T>(&self, what: impl Display, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            match tokio::time::timeout(REMINDER, &mut work).await {
                Ok(done) => return done,
                Err(_) => self.say(format_args!("… still waiting for {what}")),
            }
        }
    }
}
