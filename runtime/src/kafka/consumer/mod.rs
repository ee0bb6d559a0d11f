//! The keyed consumer: many records in flight, order kept per key, and only what is finished is ever committed.
//!
//! One thread of its own polls librdkafka, so that neither a slow handler nor a busy executor can miss
//! `max.poll.interval.ms`. Records go to *lanes*, one per key: a lane runs one record at a time, different lanes run
//! at the same time, up to `concurrency`. The offset that is committed is the oldest unfinished one.

mod ages;
mod context;
mod flow;
mod lane;
mod marks;
mod poller;
mod tracker;
pub(in crate::kafka) mod vitals;
pub(in crate::kafka) mod watch;

use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::KafkaError;
use tokio::sync::oneshot;

use self::poller::{Ended, Poller};
use super::client::SetupError;
use super::config::KafkaConfig;
use super::record::Record;
use crate::health::Component;
use crate::metrics::KAFKA_CLIENT_REBUILDS;
use crate::shutdown::Shutdown;

/// What [`KafkaConfig`] sets as `max.poll.interval.ms`.
const MAX_POLL_INTERVAL: Duration = Duration::from_mins(2);
/// Clients that are built one after the other without any of them getting to work.
const MAX_REBUILDS: u32 = 3;

/// What became of a record.
#[derive(Debug)]
pub enum Completion {
    /// Dealt with, durably: its offset may be committed.
    Done,
    /// Not dealt with, for now: it goes back to the head of its lane, and begins again when [`Handler::admit`] says so.
    /// Until then it does not count as running.
    Again(Box<Record>),
    /// Not dealt with because the service is stopping: it will be delivered again, and nothing more is begun.
    Abandoned,
}

/// What a service does with a record.
pub trait Handler: Send + Sync + 'static {
    /// Resolves when a record may begin; at once, unless a handler says otherwise.
    ///
    /// A breaker holds records here, for hours if need be: polling goes on, the membership stays, and memory is bounded
    /// because intake pauses. A held record does not count as running: a rebalance or a shutdown does not wait for it,
    /// but drops this future. When it resolves, [`Handler::handle`] follows within the same task, unless the partition
    /// goes at that very moment; so a breaker that lets one record through must not wait for its outcome for ever.
    fn admit(&self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// Deals with one record. Must not return [`Completion::Done`] before every effect is durable.
    fn handle(&self, record: Record) -> impl Future<Output = Completion> + Send;
}

/// What a keyed consumer reads, and how eagerly.
#[derive(Clone, Debug)]
pub struct ConsumerSettings {
    /// Consumer group, prefix included.
    pub group: String,
    /// Topics, prefix included.
    pub topics: Vec<String>,
    /// Records handled at the same time, over all partitions.
    pub concurrency: usize,
    /// How long in-flight records may take to finish when partitions are revoked or the service stops.
    pub drain: Duration,
    /// Gauge that gets the lag per topic.
    pub lag_metric: &'static str,
    /// Told whether the consumer has its partitions, polls, and makes progress.
    pub health: Component,
}

/// The consumer ended without being told to.
#[derive(Debug, thiserror::Error)]
pub enum ConsumerError {
    /// The client could not be built or subscribed.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// librdkafka declared the client unusable.
    #[error("the Kafka consumer failed for good: {0}")]
    Fatal(KafkaError),
    /// A handler panicked: a bug, and its record is not committed.
    #[error("a record handler panicked; its record stays uncommitted")]
    HandlerPanicked,
    /// A handler gave a record up though the service is not stopping: it would never be dealt with.
    #[error("a record was abandoned while the service was running; it stays uncommitted")]
    Abandoned,
    /// New clients do not get to work either, though the brokers are there.
    #[error("the Kafka consumer makes no progress though the brokers answer, not even with new clients; restart it")]
    Wedged,
    /// The polling thread is gone.
    #[error("the consumer's thread ended unexpectedly")]
    ThreadLost,
}

/// Consumes until shutdown, drains, commits and leaves the group.
///
/// A client that makes no progress while the brokers are there is replaced by a new one.
pub async fn run<H: Handler>(
    config: &KafkaConfig,
    settings: ConsumerSettings,
    handler: Arc<H>,
    shutdown: Shutdown,
) -> Result<(), ConsumerError> {
    metrics::counter!(KAFKA_CLIENT_REBUILDS, "client" => "consumer").increment(0);
    let mut in_vain = 0;
    loop {
        let life = shutdown.child();
        let poller = Poller::new(config, &settings, handler.clone(), shutdown.clone(), life.clone())?;
        let watch = watch::Watch::new(
            config,
            &settings.group,
            &settings.topics,
            settings.health.clone(),
            poller.vitals.clone(),
        );
        let mut end = spawn(poller)?;
        let ended = tokio::select! {
            ended = &mut end => ended,
            wedged = watch.until_wedged() => {
                life.trigger();
                in_vain = if wedged.worked { 0 } else { in_vain + 1 };
                if in_vain > MAX_REBUILDS {
                    return Err(ConsumerError::Wedged);
                }
                let problem = wedged.problem;
                tracing::warn!(group = settings.group, problem, "the consumer makes no progress though the brokers answer; building it anew");
                metrics::counter!(KAFKA_CLIENT_REBUILDS, "client" => "consumer").increment(1);
                end.await
            }
        };
        match ended.map_err(|_| ConsumerError::ThreadLost)? {
            Ended::Stopped if shutdown.is_cancelled() => return Ok(()),
            Ended::Stopped => {}
            Ended::Failed(error) => return Err(error),
        }
    }
}

/// Runs a poller on a thread of its own.
fn spawn<H: Handler>(poller: Poller<H>) -> Result<oneshot::Receiver<Ended>, ConsumerError> {
    let (ended, end) = oneshot::channel();
    let run = move || poller.run(|end| drop(ended.send(end)));
    std::thread::Builder::new().name("kafka-consumer".to_owned()).spawn(run).map_err(|_| ConsumerError::ThreadLost)?;
    Ok(end)
}
