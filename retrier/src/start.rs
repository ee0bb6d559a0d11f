//! Puts the retrier together and runs it until shutdown.

use std::sync::Arc;

use runtime::admin::Admin;
use runtime::env::Env;
use runtime::health::Health;
use runtime::kafka::relay::{self, RelaySettings};
use runtime::kafka::{KafkaConfig, TopicError, ensure_topics, watch_brokers, watch_depth};
use runtime::metrics::{CONSUMER_LAG, DLQ_RECORDS, RETRIES_RELEASED};
use runtime::registry::RegistryConfig;
use runtime::shutdown::Shutdown;
use schemas::headers::names::RETRY_DUE_AT;
use schemas::ladder::RetryLadder;
use schemas::topics::Topics;
use uuid::Uuid;

use crate::timetable::Tiers;

/// Default of `ADMIN_ADDR`.
pub const ADMIN_ADDR: &str = "127.0.0.1:9466";

/// Reads the configuration and runs until shutdown.
pub async fn run(env: Env, shutdown: Shutdown) -> anyhow::Result<()> {
    let kafka = KafkaConfig::from_env(&env)?;
    let ladder = env.parse("RETRY_DELAYS", RetryLadder::default())?;
    // Bytes are moved as they are, so it is not used; but services share their configuration, and what is wrong is wrong.
    let _unused = RegistryConfig::from_env(&env)?;
    let admin = Admin::from_env(&env, ADMIN_ADDR)?;

    let health = Health::new();
    let (kafka_health, relay_health) = (health.component("kafka"), health.component("relay"));
    let _admin = admin.start(health, &shutdown).await?;
    let topics = Topics::new(&kafka.prefix, &ladder);
    watch_brokers(&kafka, kafka_health, shutdown.clone())?;
    match ensure_topics(&kafka, &topics.specs(), &shutdown).await {
        Ok(_) => {}
        Err(TopicError::Stopped) => return Ok(()),
        Err(error) => return Err(error.into()),
    }

    watch_depth(&kafka, topics.dlq(), metrics::gauge!(DLQ_RECORDS), shutdown.clone())?;

    // With a name of its own a restarted replica fences its former self at once. Without one the id is random, and what
    // a killed replica left open is aborted by the brokers after the transaction's timeout.
    let instance = kafka.instance_id.clone().unwrap_or_else(|| Uuid::new_v4().to_string());
    let settings = RelaySettings {
        group: topics.group("retrier"),
        topics: topics.tiers().iter().map(|tier| tier.topic.clone()).collect(),
        target: topics.due().to_owned(),
        due_header: RETRY_DUE_AT,
        transactional_id: topics.group(&format!("retrier-{instance}")),
        lag_metric: CONSUMER_LAG,
        health: relay_health,
    };
    // A counter that is not there yet cannot be seen to rise for the first time.
    for tier in topics.tiers() {
        metrics::counter!(RETRIES_RELEASED, "tier" => tier.label.clone()).increment(0);
        metrics::gauge!(CONSUMER_LAG, "topic" => tier.topic.clone()).set(0.0);
    }
    tracing::info!(group = settings.group, tiers = settings.topics.len(), "releasing");
    relay::run(&kafka, settings, Arc::new(Tiers::new(&topics)), shutdown).await?;
    Ok(())
}
