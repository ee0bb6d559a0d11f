//! How far a long command is: on stderr, and only when somebody sits there.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_millis(200);

/// A line that counts.
pub(crate) struct Progress {
    what: String,
    /// None when nobody knows.
    total: Option<u64>,
    done: u64,
    shown: Option<Instant>,
    visible: bool,
}

impl Progress {
    /// Counts up to `total`; `what` says of what.
    pub(crate) fn new(what: &str, total: u64) -> Self {
        Self::up_to(what, Some(total))
    }

    /// Counts, nobody knows how far.
    pub(crate) fn counting(what: &str) -> Self {
        Self::up_to(what, None)
    }

    fn up_to(what: &str, total: Option<u64>) -> Self {
        let visible = std::io::stderr().is_terminal();
        Self { what: what.to_owned(), total, done: 0, shown: None, visible }
    }

    /// One more.
    pub(crate) fn step(&mut self) {
        self.at(self.done + 1);
    }

    /// So many by now.
    pub(crate) fn at(&mut self, done: u64) {
        self.done = done;
        if self.visible && self.shown.is_none_or(|shown| shown.elapsed() >= INTERVAL) {
            self.shown = Some(Instant::now());
            let _ = match self.total {
                Some(total) => write!(std::io::stderr(), "\r{} {} of {total}", self.what, done.min(total)),
                None => write!(std::io::stderr(), "\r{} {done}", self.what),
            };
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
