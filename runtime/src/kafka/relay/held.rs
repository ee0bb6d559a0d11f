//! The heads of the partitions: records that were read before their time. Pure bookkeeping.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;

use super::Departure;
use crate::kafka::record::Record;

/// Records of one partition that may wait in memory. The rest waits in Kafka, behind a paused partition.
const MAX_RECORDS: usize = 2000;
/// Bytes of one partition that may wait in memory, once one record does.
const MAX_BYTES: usize = 1024 * 1024;

pub(super) type Partition = (String, i32);

pub(super) struct Waiting {
    pub(super) record: Record,
    pub(super) departure: Departure,
}

#[derive(Default)]
struct Head {
    queue: VecDeque<Waiting>,
    bytes: usize,
    paused: bool,
}

impl Head {
    fn is_full(&self) -> bool {
        self.queue.len() >= MAX_RECORDS || self.bytes >= MAX_BYTES
    }
}

/// All heads, by partition.
#[derive(Default)]
pub(super) struct Held {
    heads: BTreeMap<Partition, Head>,
}

impl Held {
    /// Takes a record in. True when its partition is to be paused now.
    pub(super) fn push(&mut self, waiting: Waiting) -> bool {
        let partition = (waiting.record.topic.clone(), waiting.record.partition);
        let head = self.heads.entry(partition).or_default();
        head.bytes += waiting.record.weight();
        head.queue.push_back(waiting);
        let pause = head.is_full() && !head.paused;
        head.paused |= pause;
        pause
    }

    /// Takes up to `limit` records that are due, each partition in its order.
    ///
    /// Within a partition a record waits for those before it, even if it is due earlier: offsets are committed as a
    /// prefix. All records of a tier wait equally long, so this costs no more than the writers' clocks differ.
    pub(super) fn take_due(&mut self, now: Timestamp, limit: usize) -> Vec<Waiting> {
        let mut due = Vec::new();
        for head in self.heads.values_mut() {
            while due.len() < limit && head.queue.front().is_some_and(|first| first.departure.due_at <= now) {
                if let Some(first) = head.queue.pop_front() {
                    head.bytes -= first.record.weight();
                    due.push(first);
                }
            }
        }
        due
    }

    /// How many records of each partition are held.
    pub(super) fn counts(&self) -> BTreeMap<Partition, i64> {
        let count = |head: &Head| i64::try_from(head.queue.len()).unwrap_or(i64::MAX);
        self.heads.iter().map(|(partition, head)| (partition.clone(), count(head))).collect()
    }

    /// When the next head is due.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.heads.values().filter_map(|head| head.queue.front()).map(|first| first.departure.due_at).min()
    }

    /// Partitions that were paused and have room again. They count as resumed from now on.
    pub(super) fn take_resumable(&mut self) -> Vec<Partition> {
        let roomy = self.heads.iter_mut().filter(|(_, head)| head.paused && head.queue.len() <= MAX_RECORDS / 4);
        roomy
            .map(|(partition, head)| {
                head.paused = false;
                partition.clone()
            })
            .collect()
    }

    /// Forgets a partition that is another member's now.
    pub(super) fn forget(&mut self, partition: &Partition) {
        self.heads.remove(partition);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(partition: i32, offset: i64, due: i64) -> Waiting {
        let due_at = Timestamp::from_second(due).unwrap();
        Waiting {
            record: Record {
                topic: "tier".to_owned(),
                partition,
                offset,
                key: None,
                value: vec![0; 1000],
                timestamp: None,
                headers: Vec::new(),
            },
            departure: Departure { due_at, topic: "due".to_owned(), headers: Vec::new() },
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn releases_nothing_early_and_keeps_partition_order() {
        let mut held = Held::default();
        held.push(waiting(0, 0, 20));
        held.push(waiting(0, 1, 10));
        held.push(waiting(1, 0, 15));
        assert_eq!(held.next_due(), Some(at(15)));
        assert!(held.take_due(at(14), 10).is_empty());
        let offsets: Vec<_> = held.take_due(at(15), 10).iter().map(|w| (w.record.partition, w.record.offset)).collect();
        assert_eq!(offsets, [(1, 0)], "offset 1 of partition 0 waits for offset 0");
        assert_eq!(held.take_due(at(20), 10).len(), 2);
        assert_eq!(held.next_due(), None);
    }

    #[test]
    fn memory_is_bounded_by_pausing() {
        let mut held = Held::default();
        let pauses: Vec<_> =
            (0..i64::try_from(MAX_RECORDS).unwrap()).filter(|n| held.push(waiting(0, *n, 10))).collect();
        assert_eq!(pauses.len(), 1, "paused once, when full");
        assert!(held.take_resumable().is_empty());
        assert_eq!(held.take_due(at(10), MAX_RECORDS).len(), MAX_RECORDS);
        assert_eq!(held.take_resumable(), [("tier".to_owned(), 0)]);
        assert!(held.take_resumable().is_empty(), "resumed once");
    }

    #[test]
    fn one_large_record_pauses_alone() {
        let mut held = Held::default();
        let mut large = waiting(0, 0, 10);
        large.record.value = vec![0; MAX_BYTES];
        assert!(held.push(large));
        held.forget(&("tier".to_owned(), 0));
        assert_eq!(held.next_due(), None);
    }
}
