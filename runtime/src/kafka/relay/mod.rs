//! Moves records from some topics to another when their time has come, exactly once.
//!
//! What is due and the offsets behind it are one Kafka transaction, so a record is either still waiting or has moved,
//! whatever dies in between. What is not yet due waits in Kafka: of each partition one record is held, to know when the
//! next is due, and behind it what librdkafka reads ahead, which is little. Nothing is ever paused; polling never stops,
//! so the membership never lapses.

mod batch;
mod clients;
mod context;
mod hang;
mod head;
mod session;
mod trace;
mod unmoved;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::oneshot;

use self::hang::hangs;
use self::session::{Ended, Session};
use self::unmoved::Unmoved;
use super::client::SetupError;
use super::config::KafkaConfig;
use super::consumer::vitals::Vitals;
use super::consumer::watch::Watch;
use crate::health::Component;
use crate::metrics::KAFKA_CLIENT_REBUILDS;
use crate::shutdown::Shutdown;

const RESTART_DELAY: Duration = Duration::from_millis(500);
/// How often it is told what waits.
const TELL: Duration = Duration::from_millis(500);
/// Clients that are built one after the other without any of them getting to work.
const MAX_REBUILDS: u32 = 3;

/// What a relay reads and how it is known to the brokers.
#[derive(Clone, Debug)]
pub struct RelaySettings {
    /// Consumer group, prefix included.
    pub group: String,
    /// Topics to read, prefix included.
    pub topics: Vec<String>,
    /// Topic to move records to, prefix included.
    pub target: String,
    /// Header that a [`Timetable`] wants to see.
    pub due_header: &'static str,
    /// Transactional id, prefix included; unique among the processes that are alive.
    pub transactional_id: String,
    /// Gauge that gets the lag per topic.
    pub lag_metric: &'static str,
    /// Told whether the relay has its partitions, polls, and makes progress.
    pub health: Component,
}

/// What a timetable is told about a record.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// Topic, prefix included.
    pub topic: &'a str,
    /// Partition.
    pub partition: i32,
    /// Offset within the partition.
    pub offset: i64,
    /// When it was written, in milliseconds since 1970, as far as the broker knows.
    pub timestamp: Option<i64>,
    /// The last value of [`RelaySettings::due_header`].
    pub due: Option<&'a [u8]>,
}

/// The rules of a relay.
pub trait Timetable: Send + Sync + 'static {
    /// Before when a record must not move. Called once for each time that it is read.
    fn due_at(&self, record: &Arrival<'_>) -> Timestamp;

    /// Told which records of a topic have moved, by when they were due, after the transaction has been committed.
    fn moved(&self, topic: &str, due: &[Timestamp], at: Timestamp);

    /// Told every half second while there is a session, for each topic, how many records wait.
    fn waiting(&self, topic: &str, records: u64);

    /// Told every half second, for each topic, when the first record that was read and has not moved is due, or was:
    /// also while transactions fail, or no session gets to work.
    fn first_due(&self, topic: &str, due_at: Option<Timestamp>);
}

/// The relay ended without being told to.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// A client could not be built.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// New clients do not get to work either, though the brokers are there.
    #[error("the relay makes no progress though the brokers answer, not even with new clients; restart it")]
    Wedged,
    /// A call into the client does not return. Only the end of the process ends it.
    #[error("the relay hangs in a call to its Kafka client, which forgot its timeout; restart it")]
    Hung,
    /// The relay's thread is gone.
    #[error("the relay's thread ended unexpectedly")]
    ThreadLost,
}

/// Relays until shutdown.
///
/// Any failure of the brokers ends the present session; the next one begins at the committed offsets, with a new
/// producer that fences the old one. So does a client that makes no progress while the brokers are there.
pub async fn run<T: Timetable>(
    config: &KafkaConfig,
    settings: RelaySettings,
    timetable: Arc<T>,
    shutdown: Shutdown,
) -> Result<(), RelayError> {
    metrics::counter!(KAFKA_CLIENT_REBUILDS, "client" => "relay").increment(0);
    let unmoved = Arc::new(Unmoved::default());
    tokio::select! {
        ended = sessions(config, &settings, &timetable, &unmoved, shutdown) => ended,
        never = tell(&settings.topics, &*timetable, &unmoved) => match never {},
    }
}

/// Tells what is late. Not a session's business: there may be none.
async fn tell<T: Timetable>(topics: &[String], timetable: &T, unmoved: &Unmoved) -> Infallible {
    loop {
        for topic in topics {
            timetable.first_due(topic, unmoved.first_due(topic));
        }
        tokio::time::sleep(TELL).await;
    }
}

/// One session after the other.
async fn sessions<T: Timetable>(
    config: &KafkaConfig,
    settings: &RelaySettings,
    timetable: &Arc<T>,
    unmoved: &Arc<Unmoved>,
    shutdown: Shutdown,
) -> Result<(), RelayError> {
    let mut in_vain = 0;
    while !shutdown.is_cancelled() {
        let (life, vitals) = (shutdown.child(), Arc::new(Vitals::new()));
        let watch = Watch::new(config, &settings.group, &settings.topics, settings.health.clone(), vitals.clone());
        let rules = (timetable.clone(), unmoved.clone());
        let mut end = spawn(config, settings, rules, vitals.clone(), life.clone())?;
        let hung = hangs(|| vitals.since_poll());
        tokio::pin!(hung);
        let ended = tokio::select! {
            ended = &mut end => ended,
            () = &mut hung => return Err(RelayError::Hung),
            wedged = watch.until_wedged() => {
                life.trigger();
                in_vain = if wedged.worked { 0 } else { in_vain + 1 };
                if in_vain > MAX_REBUILDS {
                    return Err(RelayError::Wedged);
                }
                let problem = wedged.problem;
                tracing::warn!(group = settings.group, problem, "the relay makes no progress though the brokers answer; building it anew");
                metrics::counter!(KAFKA_CLIENT_REBUILDS, "client" => "relay").increment(1);
                tokio::select! {
                    ended = end => ended,
                    () = hung => return Err(RelayError::Hung),
                }
            }
        };
        match ended.map_err(|_| RelayError::ThreadLost)? {
            Ok(()) => {}
            Err(Ended::Setup(error)) => return Err(error.into()),
            Err(Ended::Broker(error)) => {
                settings.health.down("lost its brokers or its transaction; starting over");
                tracing::warn!(%error, "the relay lost its brokers or its transaction; starting over");
                tokio::select! {
                    () = shutdown.cancelled() => {}
                    () = tokio::time::sleep(RESTART_DELAY) => {}
                }
            }
        }
    }
    Ok(())
}

/// Runs one session on a thread of its own.
fn spawn<T: Timetable>(
    config: &KafkaConfig,
    settings: &RelaySettings,
    (timetable, unmoved): (Arc<T>, Arc<Unmoved>),
    vitals: Arc<Vitals>,
    life: Shutdown,
) -> Result<oneshot::Receiver<Result<(), Ended>>, RelayError> {
    let (ended, end) = oneshot::channel();
    let (config, settings) = (config.clone(), settings.clone());
    let run = move || {
        let session = Session::open(&config, &settings, (&*timetable, &*unmoved), vitals, &life);
        // The clients are gone before the end is told, so that no two sessions of this process overlap.
        let result = session.and_then(|mut session| session.run());
        drop(ended.send(result));
    };
    std::thread::Builder::new().name("kafka-relay".to_owned()).spawn(run).map_err(|_| RelayError::ThreadLost)?;
    Ok(end)
}
