//! The spool: where deliveries are durable while Kafka is not there. One file, one thread that writes it, one task that
//! sends what is in it.

mod drain;
mod entry;
mod inspect;
mod store;
mod told;
mod window;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use runtime::health::Component;
use runtime::metrics::{SPOOL_BYTES, SPOOL_LIMIT, SPOOL_OLDEST, SPOOL_RECORDS};
use runtime::shutdown::Shutdown;
use runtime::telemetry::SPANS;
use tokio::sync::{Notify, mpsc, oneshot};
use tracing::Instrument as _;

pub(crate) use self::drain::drain;
pub use self::entry::Entry;
pub use self::inspect::{SAMPLE_ENTRIES, inspect, sample};
pub use self::store::OpenError;
use self::store::{Depth, Store};
use self::window::{Wanted, Window};
use self::writer::{Command, Writer};

/// How long a request waits for the disk. With the other waits it is below the senders' patience.
const APPEND_DEADLINE: Duration = Duration::from_secs(3);

/// Requests that may wait for the thread; each holds its body's bytes of the bound on those.
const QUEUE: usize = 4096;

/// A record is not in the spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpoolError {
    /// `SPOOL_MAX_BYTES` is reached.
    #[error("the spool is full")]
    Full,
    /// The file cannot be written.
    #[error("the spool cannot be written")]
    Failed,
    /// The disk did not answer in time. The record may be written yet, and is then one that is sent again.
    #[error("the spool's disk does not answer")]
    TooSlow,
}

/// The open spool. Clones share it; it closes when the last one is dropped.
#[derive(Clone)]
pub struct Spool {
    commands: mpsc::Sender<Command>,
    state: Arc<State>,
}

/// Resolves when the spool is closed.
pub struct Closing(JoinHandle<()>);

impl Spool {
    /// Opens the spool in `dir` and starts its thread.
    pub fn open(dir: &Path, max_bytes: u64, health: Component) -> Result<(Self, Closing), OpenError> {
        let store = Store::open(dir)?;
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float, and no disk has 2^52 bytes")]
        metrics::gauge!(SPOOL_LIMIT).set(max_bytes as f64);
        let state = Arc::new(State::new(health));
        let writer = Writer::new(dir.to_owned(), max_bytes, store, state.clone());
        let (commands, received) = mpsc::channel(QUEUE);
        let thread = watched(state.clone(), move || writer.run(received));
        let thread = thread.map_err(|error| OpenError::Unusable { path: dir.to_owned(), cause: error.kind() })?;
        Ok((Self { commands, state }, Closing(thread)))
    }

    /// Returns once the record is on the disk.
    pub async fn append(&self, entry: &Entry<'_>) -> Result<(), SpoolError> {
        let (done, answer) = oneshot::channel();
        let entry = entry.encode(Timestamp::now());
        let appended = async {
            self.commands.send(Command::Append { entry, done }).await.map_err(|_| SpoolError::Failed)?;
            answer.await.unwrap_or(Err(SpoolError::Failed))
        };
        let appended = appended.instrument(tracing::info_span!(target: SPANS, "spool"));
        let Ok(appended) = tokio::time::timeout(APPEND_DEADLINE, appended).await else {
            self.state.failed(&SpoolError::TooSlow);
            return Err(SpoolError::TooSlow);
        };
        appended?;
        self.state.appended.notify_one();
        Ok(())
    }

    /// Raised when the spool's thread has ended by a bug: then nothing is spooled any more, and only a new process can
    /// open the file again.
    pub(crate) fn broken(&self) -> Shutdown {
        self.state.broken.clone()
    }

    async fn remove(&self, ids: Vec<u64>) {
        // Without a thread there is nobody to remove for.
        let _ = self.commands.send(Command::Remove { ids }).await;
    }

    async fn read(&self, wanted: Wanted) -> Result<Window, SpoolError> {
        let (done, answer) = oneshot::channel();
        self.commands.send(Command::Read { wanted, done }).await.map_err(|_| SpoolError::Failed)?;
        answer.await.unwrap_or(Err(SpoolError::Failed))
    }
}

/// Runs the spool's thread, and says so when it panics.
fn watched(state: Arc<State>, work: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    struct Alarm(Arc<State>);
    impl Drop for Alarm {
        fn drop(&mut self) {
            if std::thread::panicking() {
                self.0.broke();
            }
        }
    }
    std::thread::Builder::new().name("spool".to_owned()).spawn(move || {
        let _alarm = Alarm(state);
        work();
    })
}

impl Closing {
    /// Waits, not for ever, until the file is closed. Every [`Spool`] has to be dropped before.
    pub async fn wait(self, deadline: Duration) {
        let joined = tokio::task::spawn_blocking(move || self.0.join());
        if !matches!(tokio::time::timeout(deadline, joined).await, Ok(Ok(Ok(())))) {
            tracing::warn!("the spool did not close in time; it is opened as after a crash");
        }
    }
}

/// What is known of the spool without asking its thread.
struct State {
    records: AtomicU64,
    bytes: AtomicU64,
    /// When the oldest entry was spooled, in milliseconds since 1970; 0 when there is none.
    oldest: AtomicI64,
    failing: AtomicBool,
    appended: Notify,
    broken: Shutdown,
    health: Component,
}

impl State {
    fn new(health: Component) -> Self {
        health.up();
        Self {
            records: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            oldest: AtomicI64::new(0),
            failing: AtomicBool::new(false),
            appended: Notify::new(),
            broken: Shutdown::new(),
            health,
        }
    }

    fn depth(&self) -> Depth {
        Depth { records: self.records.load(Ordering::Relaxed), bytes: self.bytes.load(Ordering::Relaxed) }
    }

    fn report(&self, records: u64, bytes: u64) {
        self.records.store(records, Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
        if records == 0 {
            self.oldest.store(0, Ordering::Relaxed);
        } else if self.oldest.load(Ordering::Relaxed) == 0 {
            // The drainer's reads tell it exactly, but what nobody reads gets old, too.
            self.oldest.store(Timestamp::now().as_millisecond(), Ordering::Relaxed);
        }
        self.show();
    }

    /// Brings metrics and `/readyz` up to date.
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float, and no spool has 2^52 of anything")]
    fn show(&self) {
        let Depth { records, bytes } = self.depth();
        let oldest = self.oldest.load(Ordering::Relaxed);
        let age_ms = if oldest == 0 { 0 } else { (Timestamp::now().as_millisecond() - oldest).max(0) };
        metrics::gauge!(SPOOL_RECORDS).set(records as f64);
        metrics::gauge!(SPOOL_BYTES).set(bytes as f64);
        metrics::gauge!(SPOOL_OLDEST).set(age_ms as f64 / 1000.0);
        self.health.figure("records", records);
        self.health.figure("bytes", bytes);
        self.health.figure("oldest_seconds", age_ms.unsigned_abs() / 1000);
    }

    fn failed(&self, error: &(dyn std::error::Error + 'static)) {
        self.health.down("it cannot be written; while Kafka is away, deliveries are refused");
        if !self.failing.swap(true, Ordering::Relaxed) {
            tracing::error!(error, "the spool cannot be written; trying on (check SPOOL_DIR's disk)");
        }
    }

    fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    fn broke(&self) {
        self.health.down("its thread has ended by a bug; the process stops");
        self.broken.trigger();
    }

    /// Only a commit proves it: a full disk can be read.
    fn recovered(&self) {
        if self.is_failing() && self.failing.swap(false, Ordering::Relaxed) {
            self.health.up();
            tracing::info!("the spool can be written again");
        }
    }
}

#[cfg(test)]
mod tests;
