//! Where events can be, and what was committed of it before anything was read.

use jiff::Timestamp;
use runtime::kafka::Record;
use runtime::kafka::read::{Offsets, ReadError, Span, Start};
use runtime::registry::RegistryError;
use schemas::SchemaIds;
use schemas::codec;

use super::CLOCKS;
use super::accepted::Accepted;
use crate::kafka::Kafka;
use crate::output::complain;
use crate::progress::Progress;

/// The committed offsets, by the group that commits.
pub(super) struct Places {
    processor: Offsets,
    retrier: Offsets,
}

impl Places {
    /// Reads what was committed: the processor's first. What the retrier moves meanwhile then lies behind the offsets that
    /// the processor had committed of the due topic.
    pub(super) async fn committed(kafka: &Kafka) -> Result<Self, ReadError> {
        let topics = &kafka.topics;
        let consumed = vec![topics.calendly_events(), topics.stripe_events(), topics.due()];
        let groups = [(topics.group("processor"), consumed), (topics.group("retrier"), tiers(kafka))];
        let mut committed = kafka.reader.committed(&groups).await?.into_iter();
        let mut next = || committed.next().unwrap_or_default();
        Ok(Self { processor: next(), retrier: next() })
    }

    /// Takes what came into the event topics in the window.
    pub(super) async fn accepted(
        &self,
        kafka: &Kafka,
        (since, until): (Timestamp, Option<Timestamp>),
        accepted: &mut Accepted,
    ) -> anyhow::Result<()> {
        let topics = [kafka.topics.calendly_events(), kafka.topics.stripe_events()];
        // Producers' clocks may differ, so that behind the first record of a later time there are some of this.
        let end = until.and_then(|until| until.checked_add(CLOCKS).ok());
        let spans = kafka.reader.spans(&topics, Start::Time(since), end).await?;
        let (first, last) = (since.as_millisecond(), until.map(Timestamp::as_millisecond));
        read(kafka, "reading events", spans, |record, ids| {
            let written = record.timestamp.unwrap_or(first);
            if written >= first && last.is_none_or(|last| written < last) {
                let committed = self.processor.get(&(record.topic.clone(), record.partition)).copied();
                accepted.add(&record, ids, record.offset < committed.unwrap_or(0));
            }
        })
        .await
    }

    /// Notes what is in the tiers and in the due topic, and not yet taken from there.
    pub(super) async fn waiting(&self, kafka: &Kafka, accepted: &mut Accepted) -> anyhow::Result<()> {
        let tiers = kafka.reader.spans(&tiers(kafka), Start::Offsets(self.retrier.clone()), None).await?;
        let due = [kafka.topics.due()];
        let due = kafka.reader.spans(&due, Start::Offsets(self.processor.clone()), None).await?;
        let spans = tiers.into_iter().chain(due).collect();
        read(kafka, "reading retries", spans, |record, ids| accepted.note(&record, ids, |entry| entry.in_retry = true))
            .await
    }

    /// Notes what has died since then.
    pub(super) async fn dead(&self, kafka: &Kafka, since: Timestamp, accepted: &mut Accepted) -> anyhow::Result<()> {
        let from = since.checked_sub(CLOCKS).unwrap_or(Timestamp::MIN);
        let spans = kafka.reader.spans(&[kafka.topics.dlq()], Start::Time(from), None).await?;
        read(kafka, "reading dead letters", spans, |record, ids| accepted.note(&record, ids, |entry| entry.dead = true))
            .await
    }
}

fn tiers(kafka: &Kafka) -> Vec<&str> {
    kafka.topics.tiers().iter().map(|tier| tier.topic.as_str()).collect()
}

/// What the schema registry does not tell is not counted, so without it there is no audit. An id that it does not know is
/// some records' trouble, and no reason to stop.
async fn read(
    kafka: &Kafka,
    what: &str,
    spans: Vec<Span>,
    mut each: impl FnMut(Record, &SchemaIds),
) -> anyhow::Result<()> {
    let mut told = kafka.registry.is_some();
    let mut told_of_unknown = false;
    let mut progress = Progress::new(what, spans.iter().map(Span::len).sum());
    let mut records = kafka.reader.records(spans)?;
    while let Some(record) = records.next().await? {
        progress.step();
        let ids = match kafka.schemas.of(&record.value).await {
            Err(error @ RegistryError::UnknownId(_)) => {
                if !told_of_unknown {
                    complain(&format!("{error}; its records cannot be read"));
                    told_of_unknown = true;
                }
                kafka.schemas.known()
            }
            ids => ids?,
        };
        if !told && codec::confluent_id(&record.value).is_some() {
            complain("records in the framing of a schema registry cannot be read; set SCHEMA_REGISTRY_URL");
            told = true;
        }
        each(record, &ids);
    }
    Ok(())
}
