//! Kafka, else the spool, else nowhere: the one place that decides whether a record is safe.

use std::time::Duration;

use runtime::kafka::{Producer, SendError};
use runtime::registry::Framings;

use super::link::Link;
use crate::spool::{Entry, Spool, SpoolError};

/// Where a record is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On all in-sync replicas.
    Kafka,
    /// On the disk; it goes to Kafka from there.
    Spool,
}

/// A record is neither in Kafka nor in the spool.
#[derive(Debug, thiserror::Error)]
#[error("not in Kafka, and {0}")]
pub struct Nowhere(SpoolError);

/// Makes records durable.
#[derive(Clone)]
pub(crate) struct Durable {
    pub(crate) producer: Producer,
    pub(crate) spool: Spool,
    pub(crate) link: Link,
    /// How long a request waits for Kafka before it takes the spool.
    pub(crate) budget: Duration,
    /// What the topics' readers expect.
    pub(crate) framings: Framings,
}

impl Durable {
    /// Returns when the record is safe, or is known not to be.
    ///
    /// A record that goes to the spool may have been handed to the producer before, and so reach Kafka twice: its
    /// `event-id` tells. Of the two orders of doing things only this one loses none. What the schema registry has not
    /// given an id for waits in the spool.
    pub(crate) async fn store(&self, entry: &Entry<'_>) -> Result<Place, Nowhere> {
        if self.framings.must_wait(&entry.value) {
            return self.spool.append(entry).await.map(|()| Place::Spool).map_err(Nowhere);
        }
        if self.link.is_away() {
            return match self.spool.append(entry).await {
                Ok(()) => Ok(Place::Spool),
                Err(error) => self.or_kafka(entry, error).await,
            };
        }
        let outgoing = entry.outgoing();
        let mut sending = std::pin::pin!(self.producer.publish(&outgoing));
        let sent = tokio::time::timeout(self.budget, sending.as_mut()).await;
        match &sent {
            Ok(Ok(_)) => return Ok(Place::Kafka),
            // The others may pass all the same.
            Ok(Err(error @ SendError::Refused(_))) => tracing::error!(%error, "a record is spooled"),
            Ok(Err(error @ (SendError::QueueFull | SendError::NotDelivered(_)))) => self.link.lost(&error.to_string()),
            Err(_) => self.link.lost("no acknowledgement in time"),
        }
        match (self.spool.append(entry).await, sent) {
            (Ok(()), _) => Ok(Place::Spool),
            // It is still under way, and Kafka is all that is left.
            (Err(error), Err(_)) => self.arrived(sending.await.is_ok(), error),
            (Err(error), Ok(_)) => Err(Nowhere(error)),
        }
    }

    /// Without the spool, the requests themselves find out whether Kafka is back.
    async fn or_kafka(&self, entry: &Entry<'_>, error: SpoolError) -> Result<Place, Nowhere> {
        let _turn = match (error, self.link.turn()) {
            // What is in a full spool is being tried all the time, so few wait, but what is in it may be just what
            // Kafka does not take.
            (SpoolError::Full, None) => return Err(Nowhere(error)),
            (_, turn) => turn,
        };
        let sent = tokio::time::timeout(self.budget, self.producer.publish(&entry.outgoing())).await;
        self.arrived(matches!(sent, Ok(Ok(_))), error)
    }

    fn arrived(&self, arrived: bool, error: SpoolError) -> Result<Place, Nowhere> {
        if arrived {
            self.link.found();
            return Ok(Place::Kafka);
        }
        Err(Nowhere(error))
    }
}
