//! The way to the topics, and to the schemas of what is in them.

use anyhow::Context;
use runtime::env::Env;
use runtime::kafka::read::TopicReader;
use runtime::kafka::{KafkaConfig, OutgoingRecord, Producer};
use runtime::registry::{Registry, RegistryConfig, Schemas, subjects};
use schemas::codec::{Framing, Kind};
use schemas::headers::Headers;
use schemas::ladder::RetryLadder;
use schemas::topics::Topics;

/// Publishes a record, and waits until all in-sync replicas have it.
pub(crate) async fn deliver(
    producer: &Producer,
    topic: &str,
    key: Option<&[u8]>,
    value: &[u8],
    headers: &Headers,
) -> anyhow::Result<()> {
    producer.send(&OutgoingRecord { topic, key, value, headers: &headers.to_pairs() }).await?;
    Ok(())
}

/// The brokers of `KAFKA_BROKERS`, and the names of what is there.
pub(crate) struct Kafka {
    pub(crate) config: KafkaConfig,
    pub(crate) topics: Topics,
    pub(crate) reader: TopicReader,
    pub(crate) registry: Option<Registry>,
    pub(crate) schemas: Schemas,
}

impl Kafka {
    pub(crate) fn from_env(env: &Env) -> anyhow::Result<Self> {
        let config = KafkaConfig::from_env(env)?;
        let ladder = env.parse("RETRY_DELAYS", RetryLadder::default())?;
        let topics = Topics::new(&config.prefix, &ladder);
        let reader = TopicReader::new(&config);
        let registry = RegistryConfig::from_env(env)?.as_ref().map(Registry::new).transpose();
        let registry = registry.context("cannot build the HTTP client for the schema registry")?;
        let schemas = Schemas::new(registry.clone());
        Ok(Self { config, topics, reader, registry, schemas })
    }

    /// How an event that is written now has to begin.
    pub(crate) async fn framing(&self, kind: Kind) -> anyhow::Result<Framing> {
        let subject = subjects(&self.topics).into_iter().find(|subject| subject.kind == kind);
        let (Some(registry), Some(subject)) = (&self.registry, subject) else { return Ok(Framing::SingleObject) };
        Ok(Framing::Confluent(registry.id_of(&subject.name, subject.schema).await?))
    }
}
