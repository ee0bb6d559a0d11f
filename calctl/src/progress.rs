//! How far a long command is: on stderr, and only when somebody sits there.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_millis(200);

/// A line that counts.
pub(crate) struct Progress {
    what: String,
    total: u64,
    done: u64,
    shown: Option<Instant>,
    visible: bool,
}

impl Progress {
    /// Counts up to `total`; `what` says of what.
    pub(crate) fn new(what: &str, total: u64) -> Self {
        let visible = std::io::stderr().is_terminal();
        Self { what: what.to_owned(), total, done: 0, shown: None, visible }
    }

    /// One more.
    pub(crate) fn step(&mut self) {
        self.done += 1;
        if self.visible && self.shown.is_none_or(|shown| shown.elapsed() >= INTERVAL) {
            self.shown = Some(Instant::now());
            let _ = write!(std::io::stderr(), "\r{} {} of {}", self.what, self.done.min(self.total), self.total);
        }
    }
}

impl Drop for Progress {
    /// Leaves the line empty.
    fn drop(&mut self) {
        if self.shown.is_some() {
            let _ = write!(std::io::stderr(), "\r{:1$}\r", "", self.what.len() + 48);
        }
    }
}
