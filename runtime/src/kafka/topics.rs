//! Creates the topics that are missing and checks those that are there.

use std::collections::HashMap;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::RDKafkaErrorCode;

use schemas::topics::{Cleanup, TopicSpec};

use super::client::{QuietContext, SetupError};
use super::config::{KafkaConfig, MAX_RECORD_BYTES};
use crate::env::ConfigError;
use crate::shutdown::Shutdown;

const TIMEOUT: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_secs(1);

/// The topics cannot be used as they are; trying again does not help.
#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    /// The client could not be built.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// A topic has fewer partitions than `TOPIC_PARTITIONS` asks for.
    #[error("{0}")]
    TooFewPartitions(#[source] ConfigError),
    /// There are fewer brokers than `TOPIC_REPLICATION` asks for.
    #[error("{0}")]
    TooFewBrokers(#[source] ConfigError),
    /// The brokers refuse to create a topic.
    #[error(
        "the brokers refuse to create topic {topic}: {reason}; create it by hand or correct TOPIC_REPLICATION and TOPIC_PARTITIONS"
    )]
    Refused {
        /// The topic.
        topic: String,
        /// The brokers' answer.
        reason: RDKafkaErrorCode,
    },
    /// Shutdown came first.
    #[error("stopped before the topics were ready")]
    Stopped,
}

/// Waits for the brokers, creates what is missing (if `KAFKA_CREATE_TOPICS` allows it) and checks the rest.
///
/// Returns the names of the topics that were created. Brokers that are away are waited for: [`super::watch_brokers`]
/// tells the operator.
pub async fn ensure_topics(
    config: &KafkaConfig,
    topics: &[TopicSpec],
    shutdown: &Shutdown,
) -> Result<Vec<String>, TopicError> {
    let admin: AdminClient<QuietContext> =
        config.client().create_with_context(QuietContext).map_err(SetupError::from)?;
    let admin = std::sync::Arc::new(admin);
    let mut created = Vec::new();
    let mut told = false;
    loop {
        if let Some(partitions) = partitions_by_topic(&admin).await {
            check(config, topics, &partitions)?;
            let missing: Vec<_> = topics.iter().filter(|topic| !partitions.contains_key(&topic.name)).collect();
            if missing.is_empty() {
                return Ok(created);
            }
            if config.create_topics {
                created.extend(create(&admin, config, &missing).await?);
            } else if !told {
                let names: Vec<_> = missing.iter().map(|topic| topic.name.as_str()).collect();
                tracing::warn!(
                    missing = names.join(","),
                    "topics are missing and KAFKA_CREATE_TOPICS is false; waiting (calctl topics apply creates them)"
                );
                told = true;
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => return Err(TopicError::Stopped),
            () = tokio::time::sleep(if told { RETRY } else { RETRY / 5 }) => {}
        }
    }
}

async fn partitions_by_topic(admin: &std::sync::Arc<AdminClient<QuietContext>>) -> Option<HashMap<String, usize>> {
    let admin = admin.clone();
    let metadata = tokio::task::spawn_blocking(move || admin.inner().fetch_metadata(None, TIMEOUT)).await.ok()?.ok()?;
    if metadata.brokers().is_empty() {
        return None;
    }
    let topics = metadata.topics().iter().filter(|topic| topic.error().is_none());
    Some(topics.map(|topic| (topic.name().to_owned(), topic.partitions().len())).collect())
}

/// Compacted topics keep the partitions that they were made with: a key that moved would leave its last record behind in
/// the old one, for good.
fn check(config: &KafkaConfig, topics: &[TopicSpec], partitions: &HashMap<String, usize>) -> Result<(), TopicError> {
    let wanted = usize::try_from(config.partitions).unwrap_or(1);
    for topic in topics.iter().filter(|topic| matches!(topic.cleanup, Cleanup::Delete { .. })) {
        if let Some(found) = partitions.get(&topic.name).copied().filter(|found| *found < wanted) {
            let problem = format!(
                "is {}, but topic {} has {found} partitions; set TOPIC_PARTITIONS={found}, or add partitions to the topic",
                config.partitions, topic.name
            );
            return Err(TopicError::TooFewPartitions(ConfigError::new("TOPIC_PARTITIONS", problem)));
        }
    }
    Ok(())
}

/// What a topic is created with.
pub(super) fn settings(config: &KafkaConfig, topic: &TopicSpec) -> Vec<(&'static str, String)> {
    let mut settings = topic.cleanup.settings();
    settings.push(("max.message.bytes", MAX_RECORD_BYTES.to_string()));
    // With three copies a write should survive the loss of one; with fewer it could not be written at all.
    if config.replication >= 3 {
        settings.push(("min.insync.replicas", "2".to_owned()));
    }
    settings
}

async fn create(
    admin: &AdminClient<QuietContext>,
    config: &KafkaConfig,
    missing: &[&TopicSpec],
) -> Result<Vec<String>, TopicError> {
    let settings: Vec<_> = missing.iter().map(|topic| settings(config, topic)).collect();
    let new_topics: Vec<_> = missing
        .iter()
        .zip(&settings)
        .map(|(topic, settings)| {
            let new = NewTopic::new(&topic.name, config.partitions, TopicReplication::Fixed(config.replication));
            settings.iter().fold(new, |new, (name, value)| new.set(name, value))
        })
        .collect();
    let options = AdminOptions::new().operation_timeout(Some(TIMEOUT)).request_timeout(Some(TIMEOUT));
    let Ok(results) = admin.create_topics(&new_topics, &options).await else {
        return Ok(Vec::new());
    };
    let mut created = Vec::new();
    for result in results {
        match result {
            Ok(topic) => created.push(topic),
            // Another of our services was faster, or the broker is still coming up: look again.
            Err((_, RDKafkaErrorCode::TopicAlreadyExists | RDKafkaErrorCode::RequestTimedOut)) => {}
            Err((_, code)) if is_transient(code) => {}
            Err((topic, RDKafkaErrorCode::InvalidReplicationFactor)) => {
                let problem = format!(
                    "is {}, which these brokers cannot do for topic {topic}; set it to at most the number of brokers",
                    config.replication
                );
                return Err(TopicError::TooFewBrokers(ConfigError::new("TOPIC_REPLICATION", problem)));
            }
            Err((topic, reason)) => return Err(TopicError::Refused { topic, reason }),
        }
    }
    Ok(created)
}

fn is_transient(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::OperationTimedOut
            | RDKafkaErrorCode::NotController
            | RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::ThrottlingQuotaExceeded
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Env;

    #[test]
    fn too_few_partitions_are_told_but_of_a_compacted_topic() {
        let env = Env::from_pairs([("KAFKA_BROKERS", "127.0.0.1:9092"), ("TOPIC_PARTITIONS", "12")]);
        let config = KafkaConfig::from_env(&env).unwrap();
        let spec = |name: &str, cleanup| TopicSpec { name: name.to_owned(), cleanup };
        let time = Duration::from_hours(24);
        let topics = [
            spec("events", Cleanup::Delete { retention: time }),
            spec("states", Cleanup::Compact { lag: time, tombstones: time }),
        ];
        let found = |events, states| HashMap::from([("events".to_owned(), events), ("states".to_owned(), states)]);
        assert!(check(&config, &topics, &found(12, 6)).is_ok());
        let error = check(&config, &topics, &found(6, 12)).unwrap_err().to_string();
        assert!(error.contains("topic events has 6 partitions"), "{error}");
    }
}
