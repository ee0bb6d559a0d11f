//! Puts ingest together and runs it until shutdown.

use std::time::Duration;

use anyhow::Context as _;
use runtime::env::{ConfigError, Env};
use runtime::health::{Component, Health};
use runtime::kafka::{KafkaConfig, Producer, TopicError, ensure_topics, watch_brokers};
use runtime::listen::listen;
use runtime::registry::{self, Framings, Registry};
use runtime::shutdown::Shutdown;
use schemas::topics::Topics;
use tokio::net::TcpListener;

use crate::config::Config;
use crate::guardian::{FirstKey, guard};
use crate::publish::{Durable, Link, Publisher};
use crate::reload::Reload;
use crate::routes::Verifiers;
use crate::spool::{Closing, OpenError, Spool, drain};
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
    serve(env, config, listeners, shutdown).await
}

/// Serves until shutdown. `env` is what `config` was read from, to read parts of it again.
pub async fn serve(env: Env, config: Config, listeners: Listeners, shutdown: Shutdown) -> anyhow::Result<()> {
    let health = Health::new();
    let kafka_health = health.component("kafka").dispensable("no broker answers; deliveries are spooled");
    let (topics_health, spool_health) = (health.component("topics"), health.component("spool"));
    let registry_health = config.registry.as_ref().map(|_| health.component("registry"));
    let metrics = runtime::metrics::install()?;
    let verifiers = Verifiers::new(&config);
    // First of all: without it, the signal would end the process, also while the spool is being checked.
    let first_key = FirstKey::of(&config.calendly_keys);
    Reload::new(env, &verifiers, first_key.clone(), config.tls.clone()).on_hangup(shutdown.clone())?;
    let _admin = runtime::admin::serve(listeners.admin, health, metrics, shutdown.clone())?;
    let opened = tokio::select! {
        opened = open_spool(&config, spool_health) => opened,
        () = shutdown.cancelled() => return Ok(()),
    };
    let (spool, closing) = opened?;
    let broken = spool.broken();

    let topics = Topics::new(&config.kafka.prefix, &config.ladder);
    let producer = Producer::new(&config.kafka, DELIVERY_TIMEOUT)?;
    watch_brokers(&config.kafka, kafka_health, shutdown.clone())?;
    let framings = framings(&config, registry_health, &topics, &shutdown)?;
    let link = Link::default();
    let durable = Durable {
        producer: producer.clone(),
        spool: spool.clone(),
        link: link.clone(),
        budget: config.spool_after,
        framings: framings.clone(),
    };
    let publisher = Publisher::new(durable, topics.clone());
    let router = routes::router(&config, verifiers, &publisher);
    let addr = listeners.public.local_addr()?;
    let (stop, stop_draining) = (shutdown.child(), Shutdown::new());
    let draining = tokio::spawn(drain(spool, producer.clone(), link, framings, stop_draining.clone()));
    // Deliveries are taken from the first moment on; the topics are made beside that.
    let serving = tokio::spawn(server::serve(listeners.public, config.tls.clone(), router, stop.clone()));
    tokio::spawn(stop_when(broken.clone(), stop.clone()));
    let prepared = prepare_topics(&config.kafka, &topics, &stop).await;
    let mut guarding = None;
    if prepared.is_ok() {
        topics_health.up();
        // Said only now, so that a wrong configuration leaves its one line and no other.
        tracing::info!(%addr, "listening");
        if let Some((guardian, key)) = config.guardian.zip(first_key) {
            guarding = Some(tokio::spawn(guard(guardian, key, publisher.clone(), stop.clone())));
        }
    } else {
        stop.trigger();
    }
    // The spool closes when nobody has it any more.
    drop(publisher);
    // In this order: no request, then nothing more from the spool, then nothing more to Kafka, then the file.
    let served = serving.await;
    stop_draining.trigger();
    let drained = draining.await;
    producer.flush(DELIVERY_TIMEOUT).await;
    closing.wait(DELIVERY_TIMEOUT).await;
    if let Some(guarding) = guarding {
        // It may be between deleting a subscription and creating the next.
        let _ = tokio::time::timeout(DELIVERY_TIMEOUT, guarding).await;
    }
    anyhow::ensure!(!broken.is_cancelled(), "the spool's thread has ended by a bug; the log has the place");
    prepared?;
    drained?;
    Ok(served?)
}

/// Deliveries are taken before the registry has told its ids, as they are before the brokers are there: they wait in the
/// spool.
fn framings(
    config: &Config,
    health: Option<Component>,
    topics: &Topics,
    shutdown: &Shutdown,
) -> anyhow::Result<Framings> {
    let (Some(config), Some(health)) = (&config.registry, health) else { return Ok(Framings::default()) };
    let client = Registry::new(config).context("cannot build the HTTP client for the schema registry")?;
    let framings = Framings::of_registry();
    let _answers =
        registry::keep_written(client, registry::subjects(topics), framings.clone(), health, shutdown.clone());
    Ok(framings)
}

/// Without its spool the service cannot keep its promise, and a new process can.
async fn stop_when(broken: Shutdown, stop: Shutdown) {
    tokio::select! {
        () = broken.cancelled() => stop.trigger(),
        () = stop.cancelled() => {}
    }
}

/// A spool that another process has or that cannot be written is a wrong `SPOOL_DIR`; a damaged one is not.
async fn open_spool(config: &Config, health: Component) -> anyhow::Result<(Spool, Closing)> {
    let (dir, max_bytes) = (config.spool_dir.clone(), config.spool_max_bytes);
    // A large one is checked for some seconds.
    let opened = tokio::task::spawn_blocking(move || Spool::open(&dir, max_bytes, health)).await;
    let opened = opened.map_err(|_| anyhow::anyhow!("opening the spool was ended by a bug; the log has the place"))?;
    opened.map_err(|error| match error {
        OpenError::InUse(_) | OpenError::Unusable { .. } => ConfigError::new("SPOOL_DIR", error.to_string()).into(),
        OpenError::Damaged { .. } => error.into(),
    })
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
