//! The head of a partition: its first record that has not moved, and the queue behind it.

use std::time::Duration;

use jiff::Timestamp;
use rdkafka::Message;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedHeaders, Headers, OwnedHeaders, OwnedMessage};

use super::context::RelayContext;
use super::{Arrival, Timetable};

pub(super) type Partition = (String, i32);

/// A record on its way out. Its headers are the very ones that it came with.
pub(super) struct Outgoing<'a> {
    pub(super) offset: i64,
    pub(super) due_at: Timestamp,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    pub(super) headers: Option<OwnedHeaders>,
}

impl Outgoing<'_> {
    /// The last value of a header, as text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let headers = self.headers.as_ref()?;
        let found = headers.iter().filter(|header| header.key == name).last()?;
        found.value.and_then(|value| str::from_utf8(value).ok())
    }
}

struct Held {
    record: OwnedMessage,
    due_at: Timestamp,
}

/// One partition that is ours.
///
/// Its queue is librdkafka's own, split off from the others: librdkafka stops reading ahead when it is full and goes on
/// when it is not. So nothing has to be paused, which would throw away what was read ahead, nor resumed, which takes
/// librdkafka up to a second.
pub(super) struct Head {
    partition: Partition,
    queue: PartitionQueue<RelayContext>,
    held: Option<Held>,
}

impl Head {
    /// To be made on the relay's thread, which is woken when there is something to read.
    pub(super) fn new(partition: Partition, mut queue: PartitionQueue<RelayContext>) -> Self {
        let relay = std::thread::current();
        queue.set_nonempty_callback(move || relay.unpark());
        Self { partition, queue, held: None }
    }

    pub(super) fn partition(&self) -> &Partition {
        &self.partition
    }

    /// When the record that is held is due.
    pub(super) fn due_at(&self) -> Option<Timestamp> {
        self.held.as_ref().map(|held| held.due_at)
    }

    /// Forgets the record that is held: it will be read again.
    pub(super) fn forget(&mut self) {
        self.held = None;
    }

    /// Hands the first record to `send` if it is due at `now`, else holds it. True when it was sent.
    ///
    /// Within a partition a record waits for those before it, even if it is due earlier: offsets are committed as a
    /// prefix. All records of a tier wait equally long, so this costs no more than the writers' clocks differ.
    pub(super) fn take_due<T: Timetable>(
        &mut self,
        (timetable, due_header): (&T, &str),
        now: Timestamp,
        send: impl FnOnce(Outgoing<'_>) -> Result<(), KafkaError>,
    ) -> Result<bool, KafkaError> {
        if let Some(mut held) = self.held.take_if(|held| held.due_at <= now) {
            let headers = held.record.detach_headers();
            send(outgoing(&held.record, held.due_at, headers))?;
            return Ok(true);
        }
        if self.held.is_some() {
            return Ok(false);
        }
        let record = match self.queue.poll(Duration::ZERO) {
            None => return Ok(false),
            Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => return Err(error),
            Some(Err(error)) => {
                tracing::debug!(%error, "poll failed");
                return Ok(false);
            }
            Some(Ok(record)) => record,
        };
        let arrival = Arrival {
            topic: &self.partition.0,
            partition: self.partition.1,
            offset: record.offset(),
            timestamp: record.timestamp().to_millis(),
            due: record.headers().and_then(|headers| last(headers, due_header)),
        };
        let due_at = timetable.due_at(&arrival);
        if due_at <= now {
            send(outgoing(&record, due_at, record.headers().map(BorrowedHeaders::detach)))?;
            return Ok(true);
        }
        self.held = Some(Held { record: record.detach(), due_at });
        Ok(false)
    }
}

fn outgoing(record: &impl Message, due_at: Timestamp, headers: Option<OwnedHeaders>) -> Outgoing<'_> {
    Outgoing { offset: record.offset(), due_at, key: record.key(), value: record.payload(), headers }
}

/// When a name repeats the last value counts.
fn last<'a>(headers: &'a BorrowedHeaders, name: &str) -> Option<&'a [u8]> {
    headers.iter().filter(|header| header.key == name).last().and_then(|header| header.value)
}
