//! Are the topics there, and would they have been made so?

use std::collections::HashMap;
use std::time::Instant;

use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, OwnedResourceSpecifier, ResourceSpecifier};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::metadata::MetadataTopic;
use schemas::topics::{Cleanup, TopicSpec};

use super::super::client::QuietContext;
use super::super::config::KafkaConfig;
use super::super::topics::settings;
use super::{blocking, client, insist, left};

/// What is wrong with a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicFlaw {
    /// It is not there.
    Missing,
    /// We may not see it.
    Forbidden,
    /// It has fewer partitions than `TOPIC_PARTITIONS`.
    TooFewPartitions {
        /// So many.
        found: usize,
    },
    /// Partitions that nobody leads: they can be neither read nor written.
    NoLeader {
        /// So many.
        partitions: usize,
    },
    /// Partitions of which not all copies are up to date.
    OutOfSync {
        /// So many.
        partitions: usize,
    },
    /// It has fewer copies than `TOPIC_REPLICATION`.
    TooFewCopies {
        /// So many.
        found: usize,
    },
    /// A setting that is worse than what the topic would be created with.
    Setting {
        /// Its name.
        name: &'static str,
        /// Its value.
        found: String,
        /// What it would be created with.
        wanted: String,
    },
}

/// What is wrong, and whether the settings could be read.
type Seen = (Vec<(String, TopicFlaw)>, Result<(), String>);

pub(super) async fn inspect(config: &KafkaConfig, specs: &[TopicSpec], until: Instant) -> Result<Seen, String> {
    let (owned, names) = (config.clone(), specs.to_vec());
    let mut flaws = blocking(move || places(&owned, &names, until)).await??;
    let absent = |name: &str| {
        let gone = |flaw: &TopicFlaw| matches!(flaw, TopicFlaw::Missing | TopicFlaw::Forbidden);
        flaws.iter().any(|(topic, flaw)| topic == name && gone(flaw))
    };
    let present: Vec<&TopicSpec> = specs.iter().filter(|spec| !absent(&spec.name)).collect();
    let read = if present.is_empty() { Ok(Vec::new()) } else { wrong_settings(config, &present, until).await };
    let settings = read.map(|wrong| flaws.extend(wrong));
    Ok((flaws, settings))
}

/// What the metadata tells.
fn places(config: &KafkaConfig, specs: &[TopicSpec], until: Instant) -> Result<Vec<(String, TopicFlaw)>, String> {
    let client = client(config, &format!("{}calctl", config.prefix))?;
    let metadata = insist(until, |timeout| client.fetch_metadata(None, timeout)).map_err(|error| error.to_string())?;
    let found: HashMap<&str, &MetadataTopic> = metadata.topics().iter().map(|topic| (topic.name(), topic)).collect();
    let mut flaws = Vec::new();
    for spec in specs {
        let seen = match found.get(spec.name.as_str()) {
            Some(topic) if topic.error().is_none() => of_partitions(config, spec, topic),
            _ => vec![absence(&client, &spec.name, until)],
        };
        flaws.extend(seen.into_iter().map(|flaw| (spec.name.clone(), flaw)));
    }
    Ok(flaws)
}

/// In the list of all topics those that we may not see are left out; asked for by name, the brokers say so.
fn absence(client: &BaseConsumer<QuietContext>, topic: &str, until: Instant) -> TopicFlaw {
    let forbidden = insist(until, |timeout| client.fetch_metadata(Some(topic), timeout)).is_ok_and(|metadata| {
        let refused = |topic: &MetadataTopic| {
            topic.error().is_some_and(|code| RDKafkaErrorCode::from(code) == RDKafkaErrorCode::TopicAuthorizationFailed)
        };
        metadata.topics().iter().any(refused)
    });
    if forbidden { TopicFlaw::Forbidden } else { TopicFlaw::Missing }
}

fn of_partitions(config: &KafkaConfig, spec: &TopicSpec, topic: &MetadataTopic) -> Vec<TopicFlaw> {
    let (partitions, mut flaws) = (topic.partitions(), Vec::new());
    let least = |number: i32| usize::try_from(number).unwrap_or(1);
    // Compacted topics keep the partitions that they were made with.
    if matches!(spec.cleanup, Cleanup::Delete { .. }) && partitions.len() < least(config.partitions) {
        flaws.push(TopicFlaw::TooFewPartitions { found: partitions.len() });
    }
    let leaderless = partitions.iter().filter(|partition| partition.leader() < 0).count();
    if leaderless > 0 {
        flaws.push(TopicFlaw::NoLeader { partitions: leaderless });
    }
    let behind = partitions.iter().filter(|partition| partition.isr().len() < partition.replicas().len()).count();
    if behind > leaderless {
        flaws.push(TopicFlaw::OutOfSync { partitions: behind });
    }
    let copies = partitions.iter().map(|partition| partition.replicas().len()).min().unwrap_or(0);
    if copies < least(config.replication) {
        flaws.push(TopicFlaw::TooFewCopies { found: copies });
    }
    flaws
}

async fn wrong_settings(
    config: &KafkaConfig,
    specs: &[&TopicSpec],
    until: Instant,
) -> Result<Vec<(String, TopicFlaw)>, String> {
    let admin: AdminClient<QuietContext> =
        config.client().create_with_context(QuietContext).map_err(|error| error.to_string())?;
    let resources: Vec<_> = specs.iter().map(|spec| ResourceSpecifier::Topic(&spec.name)).collect();
    let options = AdminOptions::new().request_timeout(Some(left(until)));
    let answers = admin.describe_configs(&resources, &options).await.map_err(|error| error.to_string())?;
    let mut wrong = Vec::new();
    for answer in answers {
        let answer = answer.map_err(|code| code.to_string())?;
        // The client library drops the brokers' refusal; a topic without settings there is not.
        if answer.entries.is_empty() {
            return Err(RDKafkaErrorCode::TopicAuthorizationFailed.to_string());
        }
        let OwnedResourceSpecifier::Topic(name) = &answer.specifier else { continue };
        let Some(spec) = specs.iter().find(|spec| spec.name == *name) else { continue };
        wrong.extend(of_settings(config, spec, &answer).into_iter().map(|flaw| (name.clone(), flaw)));
    }
    Ok(wrong)
}

fn of_settings(config: &KafkaConfig, spec: &TopicSpec, found: &ConfigResource) -> Vec<TopicFlaw> {
    let mut wanted = settings(config, spec);
    if matches!(spec.cleanup, Cleanup::Delete { .. }) {
        // Not set when it is created: it is Kafka's own default, which a cluster may have changed.
        wanted.push(("cleanup.policy", "delete".to_owned()));
    }
    let entries = found.entry_map();
    let flaw = |(name, wanted): (&'static str, String)| {
        let found = entries.get(name)?.value.clone()?;
        (!is_as_good(name, &found, &wanted)).then_some(TopicFlaw::Setting { name, found, wanted })
    };
    wanted.into_iter().filter_map(flaw).collect()
}

/// Whether it is the same, or a number that keeps more; -1 stands for no limit. What compaction is to remove must not
/// stay for longer.
fn is_as_good(name: &str, found: &str, wanted: &str) -> bool {
    match (found.parse::<i64>(), wanted.parse::<i64>()) {
        (Ok(found), Ok(wanted)) if name == "max.compaction.lag.ms" => found <= wanted,
        (Ok(found), Ok(wanted)) => found == -1 || found >= wanted,
        _ => found == wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_is_as_good_but_not_of_what_is_to_go() {
        let (time, lag, policy) = ("retention.ms", "max.compaction.lag.ms", "cleanup.policy");
        for (name, found, wanted, good) in [
            (time, "5", "5", true),
            (time, "6", "5", true),
            (time, "-1", "5", true),
            (time, "4", "5", false),
            (lag, "5", "5", true),
            (lag, "9223372036854775807", "5", false),
            (policy, "compact", "delete", false),
        ] {
            assert_eq!(is_as_good(name, found, wanted), good, "{name} {found} {wanted}");
        }
    }
}
