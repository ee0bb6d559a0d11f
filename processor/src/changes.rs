//! Publishes the state of bookings that have changed.
//!
//! One processor at a time does it, by a lock in the database. That spares work, no more: what keeps the records of a
//! booking in order is that a publisher first opens the fenced producer, which shuts out the one before, and only then
//! reads the states that it writes (docs/decisions/0034).

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use bookings::store::{Changes, Outbox, Store, StoreError};
use futures_util::FutureExt as _;
use runtime::kafka::{FencedError, FencedProducer, KafkaConfig, KeyedRecord};
use runtime::metrics::CHANGES_PUBLISHED;
use runtime::registry::{Registry, RegistryError, Subject};
use runtime::shutdown::Shutdown;
use schemas::BookingState;
use schemas::codec::{self, CodecError, Framing};
use tokio::sync::OnceCell;
use uuid::Uuid;

/// Between two looks at an outbox that had little in it. What changes meanwhile is published once. A transaction costs the
/// brokers a request or more for each partition it touches, whether it carries one record or a hundred: more often would
/// be felt by everybody else.
const INTERVAL: Duration = Duration::from_secs(1);
/// Between two tries to become the publisher, or to go on after a failure.
const RETRY: Duration = Duration::from_secs(1);
/// Entries in one transaction.
const BATCH: i64 = 1000;

/// Why publishing stopped. It begins anew, with nothing lost.
#[derive(Debug, thiserror::Error)]
enum PublishError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Kafka(#[from] FencedError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// A bug, or a value in a row that no booking of ours has.
    #[error("publishing panicked; the log has the place")]
    Panicked,
}

/// Publishes what is in the outbox.
pub(crate) struct Publisher {
    pub(crate) store: Store,
    pub(crate) kafka: KafkaConfig,
    /// The schema registry, if there is one.
    pub(crate) registry: Option<Registry>,
    /// What the registry calls the schema.
    pub(crate) subject: Subject,
    pub(crate) topic: String,
    pub(crate) transactional_id: String,
    /// Found out once: a registry that is away later stops nothing.
    pub(crate) registered: OnceCell<Framing>,
}

/// What a publisher works with.
struct Desk {
    outbox: Outbox,
    producer: FencedProducer,
    framing: Framing,
}

impl Publisher {
    /// Publishes until shutdown, whenever no other process does.
    pub(crate) async fn run(self, shutdown: Shutdown) {
        for kind in ["state", "tombstone"] {
            metrics::counter!(CHANGES_PUBLISHED, "kind" => kind).increment(0);
        }
        let mut told = false;
        while !shutdown.is_cancelled() {
            let publishing = AssertUnwindSafe(self.publish(&shutdown, &mut told)).catch_unwind().await;
            match publishing.unwrap_or(Err(PublishError::Panicked)) {
                Ok(()) => {}
                // The database's own watch tells the operator when it is away.
                Err(error @ PublishError::Store(StoreError::Unavailable(_))) => {
                    tracing::debug!(%error, "bookings' changes are not published");
                }
                Err(error) if told => tracing::debug!(%error, "bookings' changes are still not published"),
                Err(error) => {
                    tracing::warn!(%error, "bookings' changes are not published; trying on");
                    told = true;
                }
            }
            pause(&shutdown, RETRY).await;
        }
    }

    async fn publish(&self, shutdown: &Shutdown, told: &mut bool) -> Result<(), PublishError> {
        let Some(outbox) = self.store.outbox().await? else { return Ok(()) };
        let framing = match &self.registry {
            Some(registry) => *self.registered.get_or_try_init(|| self.register(registry, *told)).await?,
            None => Framing::SingleObject,
        };
        // Before anything is read: from here on nobody else's record can come behind ours.
        let producer = FencedProducer::open(&self.kafka, &self.transactional_id).await?;
        tracing::debug!("publishing bookings' changes");
        let desk = Desk { outbox, producer, framing };
        let published = self.publish_at(&desk, shutdown, told).await;
        desk.producer.close().await;
        published
    }

    async fn register(&self, registry: &Registry, told: bool) -> Result<Framing, RegistryError> {
        let Subject { name, schema, .. } = &self.subject;
        let id = registry.id_of(name, schema).await?;
        // Not everybody who may register may do this, and the subject takes our schema all the same.
        if let Err(error) = registry.protect(name).await
            && !told
        {
            tracing::warn!(subject = name, %error, "the compatibility of the schemas cannot be set");
        }
        Ok(Framing::Confluent(id))
    }

    async fn publish_at(&self, desk: &Desk, shutdown: &Shutdown, told: &mut bool) -> Result<(), PublishError> {
        while !shutdown.is_cancelled() {
            let entries = self.turn(desk).await?;
            if std::mem::take(told) {
                tracing::info!("bookings' changes are published again");
            }
            if i64::try_from(entries).unwrap_or(BATCH) < BATCH {
                pause(shutdown, INTERVAL).await;
            }
        }
        Ok(())
    }

    /// Publishes one batch, and tells how many entries it were.
    async fn turn(&self, desk: &Desk) -> Result<usize, PublishError> {
        let changes = desk.outbox.next(BATCH).await?;
        if changes.states.is_empty() {
            return Ok(0);
        }
        bookings::failpoint::hit("changes-read");
        let records = records(&changes, desk.framing)?;
        let tombstones = records.iter().filter(|record| record.value.is_none()).count();
        let states = records.len() - tombstones;
        desk.producer.write(&self.topic, records).await?;
        bookings::failpoint::hit("changes-published");
        for (kind, count) in [("state", states), ("tombstone", tombstones)] {
            metrics::counter!(CHANGES_PUBLISHED, "kind" => kind).increment(u64::try_from(count).unwrap_or(0));
        }
        desk.outbox.done(&changes).await?;
        Ok(changes.entries())
    }
}

fn records(changes: &Changes, framing: Framing) -> Result<Vec<KeyedRecord>, CodecError> {
    let value = |state: &BookingState| codec::encode_booking_as(state, framing);
    let record = |(id, state): &(Uuid, Option<BookingState>)| {
        Ok(KeyedRecord { key: id.to_string(), value: state.as_ref().map(value).transpose()? })
    };
    changes.states.iter().map(record).collect()
}

async fn pause(shutdown: &Shutdown, time: Duration) {
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = tokio::time::sleep(time) => {}
    }
}
