//! The thread that polls, and what it sends.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::mpsc;

use super::{Client, ReadError, Span};
use crate::kafka::client::SetupError;
use crate::kafka::record::Record;

const POLL: Duration = Duration::from_millis(100);
/// Without a record or an end for this long, nothing will come any more.
const PATIENCE: Duration = Duration::from_mins(1);
/// Records are handed over in batches: one by one, a million of them would cost a million wake-ups.
const BATCH: usize = 500;
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// Batches that wait for a slow receiver. Behind them, the brokers keep what is to come.
const AHEAD: usize = 2;

type Batch = Result<Vec<Record>, ReadError>;

/// Records as they are read. Dropped, the reading ends.
pub struct Records {
    batches: mpsc::Receiver<Batch>,
    batch: std::vec::IntoIter<Record>,
    done: bool,
}

impl Records {
    pub(super) fn start(
        spans: Vec<Span>,
        client: impl Fn() -> Result<Client, SetupError> + Send + 'static,
    ) -> Result<Self, ReadError> {
        let (sender, batches) = mpsc::channel(AHEAD);
        std::thread::Builder::new()
            .name("topic-reader".to_owned())
            .spawn(move || read_all(spans, client, &sender))
            .map_err(|_| ReadError::ThreadLost)?;
        Ok(Self { batches, batch: Vec::new().into_iter(), done: false })
    }

    /// The next record; `None` at the end of the last part.
    pub async fn next(&mut self) -> Result<Option<Record>, ReadError> {
        loop {
            if let Some(record) = self.batch.next() {
                return Ok(Some(record));
            }
            if self.done {
                return Ok(None);
            }
            match self.batches.recv().await {
                // Sent last, so that a thread that broke down is not mistaken for the end.
                Some(Ok(batch)) if batch.is_empty() => self.done = true,
                Some(Ok(batch)) => self.batch = batch.into_iter(),
                Some(Err(error)) => return Err(error),
                None => return Err(ReadError::ThreadLost),
            }
        }
    }
}

fn read_all(spans: Vec<Span>, client: impl Fn() -> Result<Client, SetupError>, sender: &mpsc::Sender<Batch>) {
    let mut topics: BTreeMap<String, Vec<Span>> = BTreeMap::new();
    for span in spans.into_iter().filter(|span| !span.is_empty()) {
        topics.entry(span.topic.clone()).or_default().push(span);
    }
    for (topic, spans) in topics {
        // A client for each topic: the end of a partition is told without its topic.
        let read = client().map_err(ReadError::from).and_then(|client| read_topic(&client, &topic, &spans, sender));
        match read {
            Ok(Wanted::More) => {}
            Ok(Wanted::Nothing) => return,
            Err(error) => return drop(sender.blocking_send(Err(error))),
        }
    }
    let _ = sender.blocking_send(Ok(Vec::new()));
}

enum Wanted {
    More,
    /// The receiver is gone.
    Nothing,
}

fn read_topic(client: &Client, topic: &str, spans: &[Span], sender: &mpsc::Sender<Batch>) -> Result<Wanted, ReadError> {
    let mut assignment = TopicPartitionList::with_capacity(spans.len());
    for span in spans {
        assignment.add_partition_offset(topic, span.partition, Offset::Offset(span.from))?;
    }
    client.assign(&assignment)?;
    let mut open: HashMap<i32, i64> = spans.iter().map(|span| (span.partition, span.to)).collect();
    let mut batch = Vec::new();
    let mut bytes = 0;
    let mut last_progress = Instant::now();
    while !open.is_empty() {
        let polled = client.poll(POLL);
        let idle = polled.is_none();
        if matches!(polled, Some(Ok(_) | Err(KafkaError::PartitionEOF(_)))) {
            last_progress = Instant::now();
        } else if last_progress.elapsed() > PATIENCE {
            return Err(ReadError::Stalled(topic.to_owned()));
        }
        match polled {
            Some(Ok(message)) => {
                let record = Record::from_message(&message);
                let Some(end) = open.get(&record.partition).copied() else { continue };
                if record.offset + 1 >= end {
                    open.remove(&record.partition);
                }
                if record.offset < end {
                    bytes += record.weight();
                    batch.push(record);
                }
            }
            // The end was stable before, so all that is before it has come. Markers of transactions are no records: of a
            // partition that ends with one, only this tells.
            Some(Err(KafkaError::PartitionEOF(partition))) => drop(open.remove(&partition)),
            Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => return Err(error.into()),
            Some(Err(error)) => tracing::debug!(%error, "poll failed"),
            None => {}
        }
        let full = batch.len() >= BATCH || bytes >= BATCH_BYTES;
        if !batch.is_empty() && (full || idle || open.is_empty()) {
            bytes = 0;
            if sender.blocking_send(Ok(std::mem::take(&mut batch))).is_err() {
                return Ok(Wanted::Nothing);
            }
            // The receiver may have taken its time.
            last_progress = Instant::now();
        }
    }
    Ok(Wanted::More)
}
