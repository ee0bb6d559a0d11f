//! What one transaction moves. Pure bookkeeping.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rdkafka::{Offset, TopicPartitionList};

use super::head::Partition;

/// Records in one transaction: enough that its own cost does not matter, few enough that a partition which becomes due
/// meanwhile is some tens of milliseconds late.
const MAX_RECORDS: usize = 5000;
/// Bytes in one transaction, once one record is.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// The records of one partition, without gaps.
#[derive(Debug)]
struct Span {
    first: i64,
    next: i64,
    due: Vec<Timestamp>,
}

/// The records of one transaction.
#[derive(Debug, Default)]
pub(super) struct Batch {
    spans: BTreeMap<Partition, Span>,
    records: usize,
    bytes: usize,
    /// Of the records whose way out is traced. They end with the batch.
    traced: Vec<tracing::Span>,
}

impl Batch {
    /// Keeps a record's span until the batch has moved, or has not.
    pub(super) fn trace(&mut self, span: tracing::Span) {
        if !span.is_disabled() {
            self.traced.push(span);
        }
    }

    /// Notes on the spans that nothing has moved.
    pub(super) fn fail(&self) {
        for span in &self.traced {
            span.record("otel.status_code", "ERROR");
        }
    }

    pub(super) fn add(&mut self, partition: &Partition, offset: i64, due_at: Timestamp, bytes: usize) {
        let empty = || Span { first: offset, next: offset, due: Vec::new() };
        // Most records come behind one of the same partition.
        let span = match self.spans.get_mut(partition) {
            Some(span) => span,
            None => self.spans.entry(partition.clone()).or_insert_with(empty),
        };
        span.next = offset + 1;
        span.due.push(due_at);
        self.records += 1;
        self.bytes += bytes;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// How many records.
    pub(super) fn len(&self) -> usize {
        self.records
    }

    pub(super) fn is_full(&self) -> bool {
        self.records >= MAX_RECORDS || self.bytes >= MAX_BYTES
    }

    /// What is to be committed: the offsets behind the batch.
    pub(super) fn offsets(&self) -> TopicPartitionList {
        self.list(|span| span.next)
    }

    /// Where to read again when the batch did not move.
    pub(super) fn starts(&self) -> TopicPartitionList {
        self.list(|span| span.first)
    }

    fn list(&self, offset: impl Fn(&Span) -> i64) -> TopicPartitionList {
        let mut list = TopicPartitionList::with_capacity(self.spans.len());
        for ((topic, partition), span) in &self.spans {
            // Fails only for an invalid offset, and these came from the broker.
            let _ = list.add_partition_offset(topic, *partition, Offset::Offset(offset(span)));
        }
        list
    }

    /// Each partition with the times when its records were due.
    pub(super) fn due(&self) -> impl Iterator<Item = (&Partition, &[Timestamp])> {
        self.spans.iter().map(|(partition, span)| (partition, span.due.as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(number: i32) -> Partition {
        ("tier".to_owned(), number)
    }

    fn add(batch: &mut Batch, number: i32, offset: i64, bytes: usize) {
        batch.add(&partition(number), offset, Timestamp::UNIX_EPOCH, bytes);
    }

    #[test]
    fn commits_behind_its_last_records_and_goes_back_to_its_first() {
        let mut batch = Batch::default();
        assert!(batch.is_empty());
        for (number, offset) in [(0, 7), (1, 100), (0, 8), (0, 11)] {
            add(&mut batch, number, offset, 10);
        }
        let offset = |list: &TopicPartitionList, number| list.find_partition("tier", number).unwrap().offset();
        let (ends, starts) = (batch.offsets(), batch.starts());
        assert_eq!([offset(&ends, 0), offset(&ends, 1)], [12, 101].map(Offset::Offset));
        assert_eq!([offset(&starts, 0), offset(&starts, 1)], [7, 100].map(Offset::Offset));
        assert_eq!(batch.due().map(|(_, due)| due.len()).collect::<Vec<_>>(), [3, 1]);
    }

    #[test]
    fn is_bounded_by_records_and_by_bytes() {
        let mut batch = Batch::default();
        for offset in 0..i64::try_from(MAX_RECORDS).unwrap() {
            assert!(!batch.is_full());
            add(&mut batch, 0, offset, 1);
        }
        assert!(batch.is_full());
        let mut batch = Batch::default();
        add(&mut batch, 0, 0, 50 * 1024 * 1024);
        assert!(batch.is_full(), "one record of any size makes a batch");
    }
}
