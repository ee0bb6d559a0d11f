//! Moves records from some topics to others when their time has come, exactly once.
//!
//! A batch of due records and the offsets behind it are one Kafka transaction, so a record is either still waiting or
//! has moved, whatever dies in between. What is not yet due waits in Kafka: of each partition only a bounded head is
//! held in memory, and the partition is paused behind it. Polling never stops, so the membership never lapses.

mod context;
mod held;
mod session;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use self::session::{Ended, Session};
use super::client::SetupError;
use super::config::KafkaConfig;
use super::record::Record;
use crate::shutdown::Shutdown;

const RESTART_DELAY: Duration = Duration::from_millis(500);

/// What a relay reads and how it is known to the brokers.
#[derive(Clone, Debug)]
pub struct RelaySettings {
    /// Consumer group, prefix included.
    pub group: String,
    /// Topics to read, prefix included.
    pub topics: Vec<String>,
    /// Transactional id, prefix included; unique among the processes that are alive.
    pub transactional_id: String,
    /// Gauge that gets the lag per topic.
    pub lag_metric: &'static str,
}

/// Where a record goes, and when.
#[derive(Clone, Debug)]
pub struct Departure {
    /// Not before this moment.
    pub due_at: Timestamp,
    /// Topic, prefix included.
    pub topic: String,
    /// Headers of the moved record; key and value stay as they are.
    pub headers: Vec<(String, Vec<u8>)>,
}

/// The rules of a relay.
pub trait Timetable: Send + Sync + 'static {
    /// Decides where and when a record goes. Called once for each time that it is read.
    fn departure(&self, record: &Record) -> Departure;

    /// Told after the transaction that moved the record has been committed.
    fn departed(&self, record: &Record, departure: &Departure, at: Timestamp);
}

/// The relay ended without being told to.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// A client could not be built.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The relay's thread is gone.
    #[error("the relay's thread ended unexpectedly")]
    ThreadLost,
}

/// Relays until shutdown.
///
/// Any failure of the brokers ends the present session; the next one begins at the committed offsets, with a new
/// producer that fences the old one.
pub async fn run<T: Timetable>(
    config: &KafkaConfig,
    settings: RelaySettings,
    timetable: Arc<T>,
    shutdown: Shutdown,
) -> Result<(), RelayError> {
    let (ended, end) = tokio::sync::oneshot::channel();
    let config = config.clone();
    std::thread::Builder::new()
        .name("kafka-relay".to_owned())
        .spawn(move || {
            let _ = ended.send(run_sessions(&config, &settings, &*timetable, &shutdown));
        })
        .map_err(|_| RelayError::ThreadLost)?;
    end.await.map_err(|_| RelayError::ThreadLost)?
}

fn run_sessions<T: Timetable>(
    config: &KafkaConfig,
    settings: &RelaySettings,
    timetable: &T,
    shutdown: &Shutdown,
) -> Result<(), RelayError> {
    while !shutdown.is_cancelled() {
        match Session::open(config, settings, timetable, shutdown).and_then(|mut session| session.run()) {
            Ok(()) => {}
            Err(Ended::Setup(error)) => return Err(error.into()),
            Err(Ended::Broker(error)) => {
                tracing::warn!(%error, "the relay lost its brokers or its transaction; starting over");
                session::wait(shutdown, RESTART_DELAY);
            }
        }
    }
    Ok(())
}
