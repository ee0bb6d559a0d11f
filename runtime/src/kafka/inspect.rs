//! A look at the brokers from outside: do they answer, are the topics as services need them, does anybody read them?
//! Changes nothing, and ends within its deadline.

mod groups;
mod topics;

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use schemas::topics::TopicSpec;

pub use self::groups::{GroupState, GroupTrouble};
pub use self::topics::TopicFlaw;
use super::client::{QuietContext, SetupError};
use super::config::KafkaConfig;
use super::trouble::{Cause, Ear, ask};

/// One request: brokers that have not answered by then may at the next.
const REQUEST: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(20);

/// What was seen.
#[derive(Debug)]
pub struct Inspection {
    /// How many brokers there are.
    pub brokers: usize,
    /// What is wrong with topics, by name.
    pub flaws: Vec<(String, TopicFlaw)>,
    /// Why the topics' settings could not be read, if so.
    pub settings: Result<(), String>,
    /// The groups in the order in which they were asked for; why one could not be looked at.
    pub groups: Vec<Result<GroupState, GroupTrouble>>,
}

/// Looks at these topics, and at these groups with the topics that they read. The error says why no broker answers.
pub async fn inspect(
    config: &KafkaConfig,
    topics: &[TopicSpec],
    groups: &[(String, Vec<String>)],
    deadline: Duration,
) -> Result<Inspection, String> {
    let until = Instant::now() + deadline;
    let owned = config.clone();
    // Half of the time to find them, half to ask them.
    let brokers = blocking(move || reach(&owned, Instant::now() + deadline / 2)).await??;
    let (flaws, settings) = self::topics::inspect(config, topics, until).await?;
    let mut looks = Vec::with_capacity(groups.len());
    for (group, topics) in groups {
        let (config, group, topics) = (config.clone(), group.clone(), topics.clone());
        looks.push(tokio::task::spawn_blocking(move || groups::inspect(&config, &group, &topics, until)));
    }
    let mut seen = Vec::with_capacity(looks.len());
    for look in looks {
        seen.push(look.await.unwrap_or_else(|_| Err(GroupTrouble::NoAnswer(LOST.to_owned()))));
    }
    Ok(Inspection { brokers, flaws, settings, groups: seen })
}

const LOST: &str = "the asking thread ended unexpectedly";

/// How many brokers answer.
fn reach(config: &KafkaConfig, until: Instant) -> Result<usize, String> {
    let client = config.client().create_with_context(Ear::default()).map_err(SetupError::from);
    let client: BaseConsumer<Ear> = client.map_err(|error| error.to_string())?;
    loop {
        let trouble = match ask(&client, left(until)) {
            Ok(()) => break,
            Err(trouble) => trouble,
        };
        if trouble.cause != Cause::Unreachable || Instant::now() >= until {
            return Err(trouble.to_string());
        }
    }
    let metadata = insist(until, |timeout| client.fetch_metadata(None, timeout)).map_err(|error| error.to_string())?;
    Ok(metadata.brokers().len())
}

/// Asks until there is an answer or the time is up: a new client has to find the right broker first, a broker the group.
fn insist<T>(until: Instant, mut request: impl FnMut(Duration) -> KafkaResult<T>) -> KafkaResult<T> {
    loop {
        match request(left(until)) {
            Err(error) if is_passing(&error) && Instant::now() < until => std::thread::park_timeout(PAUSE),
            answer => return answer,
        }
    }
}

fn is_passing(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::CoordinatorLoadInProgress
                | RDKafkaErrorCode::CoordinatorNotAvailable
                | RDKafkaErrorCode::NotCoordinator
                | RDKafkaErrorCode::WaitingForCoordinator
                | RDKafkaErrorCode::LeaderNotAvailable
                | RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::OperationTimedOut
        )
    )
}

/// For the next request; never zero, which would not wait at all.
fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now()).clamp(Duration::from_millis(100), REQUEST)
}

fn client(config: &KafkaConfig, group: &str) -> Result<BaseConsumer<QuietContext>, String> {
    let mut client = config.client();
    client.set("group.id", group).set("enable.auto.commit", "false").set("isolation.level", "read_committed");
    let client = client.create_with_context(QuietContext).map_err(SetupError::from);
    client.map_err(|error| error.to_string())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|_| LOST.to_owned())
}
