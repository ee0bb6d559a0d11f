//! The way to the topics.

use runtime::env::{ConfigError, Env};
use runtime::kafka::KafkaConfig;
use runtime::kafka::read::TopicReader;
use schemas::ladder::RetryLadder;
use schemas::topics::Topics;

/// The brokers of `KAFKA_BROKERS`, and the names of what is there.
pub(crate) struct Kafka {
    pub(crate) config: KafkaConfig,
    pub(crate) topics: Topics,
    pub(crate) reader: TopicReader,
}

impl Kafka {
    pub(crate) fn from_env(env: &Env) -> Result<Self, ConfigError> {
        let config = KafkaConfig::from_env(env)?;
        let ladder = env.parse("RETRY_DELAYS", RetryLadder::default())?;
        let topics = Topics::new(&config.prefix, &ladder);
        let reader = TopicReader::new(&config);
        Ok(Self { config, topics, reader })
    }
}
