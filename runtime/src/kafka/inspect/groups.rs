//! Does anybody read, and how far behind?

use std::time::Instant;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::metadata::MetadataPartition;
use rdkafka::{Offset, TopicPartitionList};

use super::super::client::{QuietContext, events};
use super::super::config::KafkaConfig;
use super::{client, insist};

/// A consumer group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupState {
    /// Its name, prefix included.
    pub name: String,
    /// How many members it has.
    pub members: usize,
    /// Records of its topics that are not committed.
    pub lag: i64,
}

/// A group could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupTrouble {
    /// We may not.
    #[error("this user may not look at the group, or at its topics")]
    Forbidden,
    /// The brokers did not tell.
    #[error("the brokers do not tell of the group ({0})")]
    NoAnswer(String),
}

impl From<KafkaError> for GroupTrouble {
    fn from(error: KafkaError) -> Self {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::GroupAuthorizationFailed | RDKafkaErrorCode::TopicAuthorizationFailed) => {
                Self::Forbidden
            }
            _ => Self::NoAnswer(error.to_string()),
        }
    }
}

type Client = BaseConsumer<QuietContext>;
type Partitions = [(String, i32)];

pub(super) fn inspect(
    config: &KafkaConfig,
    group: &str,
    topics: &[String],
    until: Instant,
) -> Result<GroupState, GroupTrouble> {
    let client = client(config, group).map_err(GroupTrouble::NoAnswer)?;
    // Asked for first: of a group that we may not see, the list says nothing.
    let lag = lag(&client, topics, until).map_err(|error| refusal(&client).unwrap_or(error))?;
    let listed = insist(until, |timeout| client.fetch_group_list(Some(group), timeout))?;
    let members = listed.groups().iter().find(|found| found.name() == group).map_or(0, |found| found.members().len());
    Ok(GroupState { name: group.to_owned(), members, lag })
}

/// Whoever may not look for a group's coordinator waits for it in vain; only the consumer's own queue tells why.
fn refusal(client: &Client) -> Option<KafkaError> {
    let refused = |error: &KafkaError| error.rdkafka_error_code() == Some(RDKafkaErrorCode::GroupAuthorizationFailed);
    events(client).find(refused)
}

fn lag(client: &Client, topics: &[String], until: Instant) -> KafkaResult<i64> {
    let partitions = partitions(client, topics, until)?;
    if partitions.is_empty() {
        return Ok(0);
    }
    let begins = ends(client, &partitions, Offset::Beginning, until)?;
    let ends = ends(client, &partitions, Offset::End, until)?;
    let mut asked = TopicPartitionList::with_capacity(partitions.len());
    for (topic, partition) in &partitions {
        asked.add_partition(topic, *partition);
    }
    let committed = insist(until, |timeout| client.committed_offsets(asked.clone(), timeout).and_then(answered))?;
    let lag = |(topic, partition): &(String, i32)| {
        let begin = offset(&begins, topic, *partition).unwrap_or(0);
        let done = offset(&committed, topic, *partition).map_or(begin, |done| done.max(begin));
        offset(&ends, topic, *partition).map_or(0, |end| (end - done).max(0))
    };
    Ok(partitions.iter().map(lag).sum())
}

fn offset(list: &TopicPartitionList, topic: &str, partition: i32) -> Option<i64> {
    match list.find_partition(topic, partition)?.offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    }
}

/// The partitions of those topics that are there.
fn partitions(client: &Client, topics: &[String], until: Instant) -> KafkaResult<Vec<(String, i32)>> {
    let metadata = insist(until, |timeout| client.fetch_metadata(None, timeout))?;
    let mut partitions = Vec::new();
    for topic in metadata.topics().iter().filter(|topic| topics.iter().any(|name| name == topic.name())) {
        let ids = topic.partitions().iter().map(MetadataPartition::id);
        partitions.extend(ids.map(|id| (topic.name().to_owned(), id)));
    }
    Ok(partitions)
}

/// The offset of one end of each partition, in one question: Kafka looks these up as it does times.
fn ends(client: &Client, partitions: &Partitions, end: Offset, until: Instant) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for (topic, partition) in partitions {
        list.add_partition_offset(topic, *partition, end)?;
    }
    insist(until, |timeout| client.offsets_for_times(list.clone(), timeout).and_then(answered))
}

fn answered(list: TopicPartitionList) -> KafkaResult<TopicPartitionList> {
    for element in list.elements() {
        element.error()?;
    }
    Ok(list)
}
