//! Sends what is in the spool, oldest first, and finds out by that whether Kafka is back.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use runtime::kafka::{Producer, SendError};
use runtime::shutdown::Shutdown;

use super::{Entry, Spool};
use crate::publish::Link;

/// What is under way at once. Live records have the rest of the producer's queue.
const WINDOW_RECORDS: usize = 256;
const WINDOW_BYTES: usize = 1024 * 1024;
/// Between two tries while Kafka does not take anything.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How long an entry that the brokers refuse is left alone.
const REFUSED_PAUSE: Duration = Duration::from_secs(30);
const SHOW: Duration = Duration::from_secs(1);

/// Sends until shutdown. What was not acknowledged by then stays in the spool, also when it was sent.
pub(crate) async fn drain(spool: Spool, producer: Producer, link: Link, shutdown: Shutdown) {
    let mut drain = Drain { spool, producer, link, refused: BTreeSet::new(), since: Instant::now() };
    tokio::select! {
        () = drain.run() => {}
        () = shutdown.cancelled() => {}
    }
}

struct Drain {
    spool: Spool,
    producer: Producer,
    link: Link,
    /// Entries that the brokers do not take as they are. They stay, and do not hold the others up.
    refused: BTreeSet<u64>,
    since: Instant,
}

impl Drain {
    async fn run(&mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            if self.since.elapsed() > REFUSED_PAUSE {
                self.since = Instant::now();
                self.refused.clear();
            }
            self.spool.state.show();
            // While Kafka is away, one record is enough to find out.
            let count = if self.link.is_away() { 1 } else { WINDOW_RECORDS };
            match self.spool.head(&self.refused, count, WINDOW_BYTES).await {
                Ok(head) if head.is_empty() => {
                    // Looks again after a while, for refused entries and to keep the age right.
                    let _ = tokio::time::timeout(SHOW, self.spool.state.appended.notified()).await;
                    pause = FIRST_PAUSE;
                }
                Ok(head) if self.send(&head).await => pause = FIRST_PAUSE,
                Ok(_) | Err(_) => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Sends the entries in their order and takes out those that are in Kafka. True when the brokers answer.
    async fn send(&mut self, head: &[(u64, Vec<u8>)]) -> bool {
        let entries: Vec<_> = head.iter().map(|(id, bytes)| (*id, Entry::decode(bytes))).collect();
        let sends = entries.iter().map(async |(id, entry)| match entry {
            Some(entry) => (*id, Some(self.producer.send(&entry.outgoing()).await)),
            None => (*id, None),
        });
        let (mut delivered, mut answered) = (Vec::with_capacity(entries.len()), true);
        for ((id, sent), (_, entry)) in join_all(sends).await.into_iter().zip(&entries) {
            match sent {
                Some(Ok(_)) => delivered.push(id),
                Some(Err(SendError::Refused(code))) => {
                    self.refused.insert(id);
                    let event_id = entry.as_ref().map_or("", |entry| entry.header("event-id"));
                    tracing::error!(event_id, %code, "the brokers refuse a spooled record; it stays in the spool");
                }
                Some(Err(SendError::QueueFull | SendError::NotDelivered(_))) => answered = false,
                None => {
                    self.refused.insert(id);
                    tracing::error!(id, "an entry of the spool cannot be read by this version; it stays in the spool");
                }
            }
        }
        if !delivered.is_empty() {
            self.spool.remove(delivered).await;
            self.link.found();
        }
        answered
    }
}
