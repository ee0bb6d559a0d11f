//! The breaker: when most of the recent records fail for the same reason, the processor stops beginning new ones, tries
//! with one from time to time, and goes on when that works.
//!
//! Without it a dependency that is away for hours, or a bad release, walks the whole topic through the tiers into the
//! DLQ. What fails while the breaker is open is not counted as a try and not moved: it waits in its lane.

mod state;

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use runtime::health::Component;
use runtime::metrics as names;
use tokio::sync::Notify;

use self::state::{Admission, State, Turn};
pub use self::state::{Cause, Evidence, Verdict};

/// Shared by all records of the process.
pub struct Breaker {
    state: Mutex<State>,
    is_open: AtomicBool,
    changed: Notify,
    /// Who waits, in the order in which they came.
    queue: tokio::sync::Mutex<()>,
    hasher: RandomState,
    health: Component,
}

impl Breaker {
    /// A closed breaker. `health` tells `/readyz`.
    pub fn new(health: Component) -> Self {
        health.up();
        for cause in Cause::ALL {
            metrics::gauge!(names::BREAKER_OPEN, "cause" => cause.as_str()).set(0.0);
            metrics::counter!(names::BREAKER_TRIPS, "cause" => cause.as_str()).increment(0);
        }
        Self {
            state: Mutex::default(),
            is_open: AtomicBool::new(false),
            changed: Notify::new(),
            queue: tokio::sync::Mutex::default(),
            hasher: RandomState::new(),
            health,
        }
    }

    /// Whether records are held back.
    pub fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    /// Waits for leave to begin a record.
    pub async fn admit(&self) {
        if !self.is_open() {
            return;
        }
        let _turn = self.queue.lock().await;
        loop {
            let changed = self.changed.notified();
            let admission = self.lock().admit(Instant::now());
            let Admission::Later(at) = admission else { return };
            tokio::select! {
                () = tokio::time::sleep_until(at.into()) => {}
                () = changed => {}
            }
        }
    }

    /// Takes note of what became of a record, told by its event's id or key.
    pub fn observe(&self, record: &[u8], evidence: Evidence) -> Verdict {
        let mut state = self.lock();
        let (verdict, turn) = state.observe(self.hasher.hash_one(record), evidence, Instant::now());
        self.is_open.store(state.cause().is_some(), Ordering::Release);
        drop(state);
        if let Some(turn) = turn {
            self.announce(turn);
        }
        if self.is_open() || turn.is_some() {
            self.changed.notify_waiters();
        }
        verdict
    }

    fn announce(&self, turn: Turn) {
        match turn {
            Turn::Opened(cause) => {
                self.health.down(match cause {
                    Cause::Stripe => "open: most events fail at Stripe; trying with one at a time",
                    Cause::Database => "open: most events fail at PostgreSQL; trying with one at a time",
                    Cause::Registry => "open: most events need the schema registry; trying with one at a time",
                    Cause::Release => "open: most events are unusable for this release; trying with one at a time",
                });
                metrics::gauge!(names::BREAKER_OPEN, "cause" => cause.as_str()).set(1.0);
                metrics::counter!(names::BREAKER_TRIPS, "cause" => cause.as_str()).increment(1);
                tracing::error!(
                    cause = cause.as_str(),
                    "most events fail for the same reason; holding all back and trying with one at a time"
                );
            }
            Turn::Closed(cause) => {
                self.health.up();
                metrics::gauge!(names::BREAKER_OPEN, "cause" => cause.as_str()).set(0.0);
                tracing::info!(cause = cause.as_str(), "events succeed again; going on");
            }
        }
    }

    /// A poisoned lock is taken all the same: no code of ours panics while it holds it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
