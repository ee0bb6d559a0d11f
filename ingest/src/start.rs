//! Puts ingest together and runs it until shutdown.

use std::time::Duration;

use runtime::env::Env;
use runtime::health::Health;
use runtime::kafka::{KafkaConfig, Producer, TopicError, ensure_topics, watch_brokers};
use runtime::listen::listen;
use runtime::metrics::{SPOOL_BYTES, SPOOL_RECORDS};
use runtime::shutdown::Shutdown;
use schemas::topics::Topics;
use tokio::net::TcpListener;

use crate::config::Config;
use crate::publish::Publisher;
use crate::{routes, server};

/// Well below the 15 s after which Calendly gives up: the sender should get our 503, not a silence.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(4);

/// Where ingest listens.
#[derive(Debug)]
pub struct Listeners {
    /// The public one.
    pub public: TcpListener,
    /// The operators' one.
    pub admin: TcpListener,
}

impl Listeners {
    /// Listens on what the configuration names.
    pub async fn bind(config: &Config) -> anyhow::Result<Self> {
        let admin = listen("ADMIN_ADDR", &config.admin_addr).await?;
        Ok(Self { public: listen("INGEST_ADDR", &config.addr).await?, admin })
    }
}

/// Reads the configuration and serves until shutdown.
pub async fn run(env: Env, shutdown: Shutdown) -> anyhow::Result<()> {
    let config = Config::from_env(&env)?;
    let listeners = Listeners::bind(&config).await?;
    serve(config, listeners, shutdown).await
}

/// Serves until shutdown.
pub async fn serve(config: Config, listeners: Listeners, shutdown: Shutdown) -> anyhow::Result<()> {
    let health = Health::new();
    let (kafka_health, topics_health) = (health.component("kafka"), health.component("topics"));
    let metrics = runtime::metrics::install()?;
    let _admin = runtime::admin::serve(listeners.admin, health, metrics, shutdown.clone())?;
    // There is no spool yet; the gauges say so rather than nothing.
    metrics::gauge!(SPOOL_RECORDS).set(0.0);
    metrics::gauge!(SPOOL_BYTES).set(0.0);

    let topics = Topics::new(&config.kafka.prefix, &config.ladder);
    let producer = Producer::new(&config.kafka, DELIVERY_TIMEOUT)?;
    watch_brokers(&config.kafka, kafka_health, shutdown.clone())?;
    let router = routes::router(&config, &Publisher::new(producer.clone(), topics.clone()));
    let addr = listeners.public.local_addr()?;
    let stop = shutdown.child();
    // Deliveries are taken from the first moment on; the topics are made beside that.
    let serving = tokio::spawn(server::serve(listeners.public, router, stop.clone()));
    let prepared = prepare_topics(&config.kafka, &topics, &shutdown).await;
    if prepared.is_ok() {
        topics_health.up();
        // Said only now, so that a wrong configuration leaves its one line and no other.
        tracing::info!(%addr, "listening");
    } else {
        stop.trigger();
    }
    let served = serving.await;
    producer.flush(DELIVERY_TIMEOUT).await;
    prepared?;
    Ok(served?)
}

async fn prepare_topics(kafka: &KafkaConfig, topics: &Topics, shutdown: &Shutdown) -> Result<(), TopicError> {
    let specs = topics.specs();
    let prepared = tokio::select! {
        prepared = ensure_topics(kafka, &specs, shutdown) => prepared.map(drop),
        // A request to a broker that does not answer would hold the shutdown up.
        () = shutdown.cancelled() => Ok(()),
    };
    if matches!(prepared, Err(TopicError::Stopped)) { Ok(()) } else { prepared }
}

#[cfg(test)]
mod tests;
