//! Puts ingest together and runs it until shutdown.

use std::time::Duration;

use runtime::admin::Admin;
use runtime::env::Env;
use runtime::health::Health;
use runtime::kafka::{KafkaConfig, Producer, TopicError, ensure_topics, watch_brokers};
use runtime::listen::listen;
use runtime::metrics::{SPOOL_BYTES, SPOOL_RECORDS};
use runtime::shutdown::Shutdown;
use schemas::topics::Topics;

use crate::config::Config;
use crate::publish::Publisher;
use crate::server;

/// Well below the 15 s after which Calendly gives up: the sender should get our 503, not a silence.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(4);

/// Reads the configuration and serves until shutdown.
pub async fn run(env: Env, shutdown: Shutdown) -> anyhow::Result<()> {
    let config = Config::from_env(&env)?;
    let admin = Admin::from_env(&env, "127.0.0.1:9464")?;
    let health = Health::new();
    let (kafka_health, topics_health) = (health.component("kafka"), health.component("topics"));
    let listener = listen("INGEST_ADDR", &config.addr).await?;
    let _admin = admin.start(health, &shutdown).await?;
    // There is no spool yet; the gauges say so rather than nothing.
    metrics::gauge!(SPOOL_RECORDS).set(0.0);
    metrics::gauge!(SPOOL_BYTES).set(0.0);

    let topics = Topics::new(&config.kafka.prefix, &config.ladder);
    let producer = Producer::new(&config.kafka, DELIVERY_TIMEOUT)?;
    watch_brokers(&config.kafka, kafka_health, shutdown.clone())?;
    let router = server::router(&config, &Publisher::new(producer.clone(), topics.clone()));
    tracing::info!(addr = %listener.local_addr()?, "listening");
    let stop = shutdown.child();
    // Deliveries are taken from the first moment on; the topics are made beside that.
    let serving = tokio::spawn(server::serve(listener, router, stop.clone()));
    let prepared = prepare_topics(&config.kafka, &topics, &shutdown).await;
    if prepared.is_ok() {
        topics_health.up();
    } else {
        stop.trigger();
    }
    let served = serving.await;
    producer.flush(DELIVERY_TIMEOUT).await;
    prepared?;
    Ok(served??)
}

async fn prepare_topics(kafka: &KafkaConfig, topics: &Topics, shutdown: &Shutdown) -> Result<(), TopicError> {
    match ensure_topics(kafka, &topics.specs(), shutdown).await {
        Ok(_) | Err(TopicError::Stopped) => Ok(()),
        Err(error) => Err(error),
    }
}
