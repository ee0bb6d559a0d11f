//! The questions about offsets. They block.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use rdkafka::metadata::MetadataPartition;
use rdkafka::{Offset, TopicPartitionList};

use super::{Client, Offsets, ReadError, Span, Start};

/// One request to the brokers.
const REQUEST: Duration = Duration::from_secs(10);
/// How long an open transaction is waited for. The brokers abort ours after 10 s, and look every 10 s for what to abort.
const STABLE: Duration = Duration::from_secs(40);
const POLL: Duration = Duration::from_millis(20);

/// Asks until there is an answer: a topic that was just made has no leader yet, a group no coordinator.
fn ask<T>(mut request: impl FnMut() -> KafkaResult<T>) -> KafkaResult<T> {
    let until = Instant::now() + REQUEST;
    loop {
        match request() {
            Err(error) if Instant::now() < until && error.rdkafka_error_code().is_some_and(is_passing) => {
                std::thread::park_timeout(POLL);
            }
            answer => return answer,
        }
    }
}

fn is_passing(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::NotLeaderForPartition
            | RDKafkaErrorCode::LeaderNotAvailable
            | RDKafkaErrorCode::CoordinatorLoadInProgress
            | RDKafkaErrorCode::CoordinatorNotAvailable
            | RDKafkaErrorCode::NotCoordinator
            | RDKafkaErrorCode::UnstableOffsetCommit
            | RDKafkaErrorCode::WaitingForCoordinator
    )
}

/// A list whose partitions all have an answer.
fn answered(list: TopicPartitionList) -> KafkaResult<TopicPartitionList> {
    for element in list.elements() {
        element.error()?;
    }
    Ok(list)
}

fn partitions(client: &Client, topic: &str) -> Result<Vec<i32>, ReadError> {
    let metadata = ask(|| client.fetch_metadata(Some(topic), REQUEST))?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let ids: Vec<i32> =
        found.map_or_else(Vec::new, |found| found.partitions().iter().map(MetadataPartition::id).collect());
    if ids.is_empty() { Err(ReadError::NoTopic(topic.to_owned())) } else { Ok(ids) }
}

pub(super) fn committed(client: &Client, topics: &[String]) -> Result<Offsets, ReadError> {
    let mut list = TopicPartitionList::new();
    for topic in topics {
        for partition in partitions(client, topic)? {
            list.add_partition(topic, partition);
        }
    }
    // Offsets that are part of an open transaction are told when it ends.
    let list = ask(|| client.committed_offsets(list.clone(), STABLE).and_then(answered))?;
    let mut offsets = Offsets::new();
    for element in list.elements() {
        let offset = if let Offset::Offset(offset) = element.offset() { offset } else { 0 };
        offsets.insert((element.topic().to_owned(), element.partition()), offset);
    }
    Ok(offsets)
}

/// From the oldest record that is kept to the end as it is now, open transactions included.
pub(super) fn ends(client: &Client, topics: &[String]) -> Result<Vec<Span>, ReadError> {
    let mut spans = Vec::new();
    for topic in topics {
        for partition in partitions(client, topic)? {
            let (from, to) = ask(|| client.fetch_watermarks(topic, partition, REQUEST))?;
            spans.push(Span { topic: topic.clone(), partition, from, to });
        }
    }
    Ok(spans)
}

pub(super) fn wait_until_stable(client: &Client, spans: &[Span]) -> Result<(), ReadError> {
    let until = Instant::now() + STABLE;
    for span in spans.iter().filter(|span| !span.is_empty()) {
        // Of a client that reads what is committed this is the last stable offset: where the first open transaction begins.
        while ask(|| client.fetch_watermarks(&span.topic, span.partition, REQUEST))?.1 < span.to {
            if Instant::now() >= until {
                return Err(ReadError::OpenTransaction(span.topic.clone()));
            }
            std::thread::park_timeout(POLL);
        }
    }
    Ok(())
}

pub(super) fn begin(client: &Client, spans: &mut [Span], from: &Start) -> Result<(), ReadError> {
    match from {
        Start::Beginning => {}
        Start::Time(time) => {
            let found = at_time(client, spans, *time)?;
            for (span, offset) in spans.iter_mut().zip(found) {
                span.from = offset.map_or(span.to, |offset| offset.max(span.from));
            }
        }
        Start::Offsets(offsets) => {
            for span in spans {
                let offset = offsets.get(&(span.topic.clone(), span.partition));
                span.from = offset.map_or(span.from, |offset| span.from.max(*offset));
            }
        }
    }
    Ok(())
}

pub(super) fn cut(client: &Client, spans: &mut [Span], until: Timestamp) -> Result<(), ReadError> {
    let found = at_time(client, spans, until)?;
    for (span, offset) in spans.iter_mut().zip(found) {
        span.to = offset.map_or(span.to, |offset| offset.min(span.to));
    }
    Ok(())
}

/// For each span the first offset of its partition that was written at `time` or later, if there is one.
fn at_time(client: &Client, spans: &[Span], time: Timestamp) -> Result<Vec<Option<i64>>, ReadError> {
    let mut list = TopicPartitionList::with_capacity(spans.len());
    for span in spans {
        list.add_partition_offset(&span.topic, span.partition, Offset::Offset(time.as_millisecond().max(0)))?;
    }
    let found = ask(|| client.offsets_for_times(list.clone(), REQUEST).and_then(answered))?;
    let mut offsets = Vec::with_capacity(spans.len());
    for span in spans {
        let element = found.find_partition(&span.topic, span.partition);
        let element = element.ok_or_else(|| ReadError::NoTopic(span.topic.clone()))?;
        offsets.push(if let Offset::Offset(offset) = element.offset() { Some(offset) } else { None });
    }
    Ok(offsets)
}
