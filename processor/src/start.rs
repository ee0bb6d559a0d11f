//! Puts the processor together and runs it until shutdown.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bookings::store::{Store, StoreError};
use runtime::admin::Admin;
use runtime::env::{ConfigError, Env};
use runtime::health::{Component, Health};
use runtime::kafka::consumer::{self, ConsumerSettings};
use runtime::kafka::{Producer, TopicError, ensure_topics, watch_brokers};
use runtime::metrics::{self as names, CONSUMER_LAG};
use runtime::registry::{self, Registry, Schemas};
use runtime::shutdown::Shutdown;
use schemas::ladder::ErrorClass;
use schemas::topics::Topics;

use crate::books::Books;
use crate::breaker::Breaker;
use crate::changes::Publisher;
use crate::config::Config;
use crate::execute::Executor;
use crate::pipeline::{self, Pipeline};
use crate::route::Router;
use crate::stripe::StripeError;
use crate::stripe::{OPERATIONS, Stripe};
use crate::sweep::Sweeper;
use crate::{gauges, handlers, money};

/// How long in-flight records may take when the service stops: a request to Stripe, and then some.
const DRAIN: Duration = Duration::from_secs(14);
/// How long one move to a tier may take before it is tried again.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(10);
/// Every move to a tier was waited for, so this is for what was cut short. With the drain it fits into the 25 s that the
/// process has.
const FLUSH: Duration = Duration::from_secs(3);
const DATABASE_INTERVAL: Duration = Duration::from_secs(2);

/// Default of `ADMIN_ADDR`.
pub const ADMIN_ADDR: &str = "127.0.0.1:9465";

/// Reads the configuration and runs until shutdown.
pub async fn run(env: Env, shutdown: Shutdown) -> anyhow::Result<()> {
    let config = Config::from_env(&env)?;
    let admin = Admin::from_env(&env, ADMIN_ADDR)?;
    let health = Health::new();
    let (kafka_health, database_health) = (health.component("kafka"), health.component("postgres"));
    let (consumer_health, breaker_health) = (health.component("consumer"), health.component("breaker"));
    let registry_health = config.registry.as_ref().map(|_| health.component("registry"));
    let _admin = admin.start(health, &shutdown).await?;

    let store = Store::new(
        &config.database_url,
        config.database_pool_size,
        config.checkout.clone(),
        config.default_price.clone(),
    )
    .map_err(|error| ConfigError::new("DATABASE_URL", error.to_string()))?;
    let stripe = Stripe::new(&config.stripe).context("cannot build the HTTP client for Stripe")?;
    let topics = Topics::new(&config.kafka.prefix, &config.ladder);
    let producer = Producer::new(&config.kafka, DELIVERY_TIMEOUT)?;
    watch_brokers(&config.kafka, kafka_health, shutdown.clone())?;

    if !migrate(&store, &database_health, &shutdown).await? {
        return Ok(());
    }
    tokio::spawn(watch_database(store.clone(), database_health, shutdown.clone()));
    tokio::spawn(gauges::watch(store.clone(), shutdown.clone()));
    match ensure_topics(&config.kafka, &topics.specs(), &shutdown).await {
        Ok(_) => {}
        Err(TopicError::Stopped) => return Ok(()),
        Err(error) => return Err(error.into()),
    }

    let Some(schemas) = schemas(&config, registry_health, &topics, &shutdown).await? else { return Ok(()) };
    let router =
        Router::new(producer.clone(), topics.clone(), config.ladder.clone(), config.max_attempts, shutdown.clone());
    let books = Books::open(&store, config.database_pool_size);
    let executor = Executor::new(books.clone(), stripe);
    let settings = ConsumerSettings {
        group: topics.group("processor"),
        topics: [topics.calendly_events(), topics.stripe_events(), topics.due()].map(str::to_owned).to_vec(),
        concurrency: config.concurrency,
        drain: DRAIN,
        lag_metric: CONSUMER_LAG,
        health: consumer_health,
    };
    let breaker = Arc::new(Breaker::new(breaker_health));
    tokio::spawn(Sweeper::new(store.clone(), executor.clone(), breaker.clone()).run(shutdown.clone()));
    let publishing = tokio::spawn(publisher(&config, &store, &topics)?.run(shutdown.clone()));
    zero_counters(&topics);
    tracing::info!(group = settings.group, "processing");
    let pipeline = Pipeline::new(schemas, books, executor, router, breaker);
    consumer::run(&config.kafka, settings, Arc::new(pipeline), shutdown).await?;
    producer.flush(FLUSH).await;
    // A batch that is being written is finished, so that the next process need not write it again.
    let _ = tokio::time::timeout(FLUSH, publishing).await;
    Ok(())
}

fn publisher(config: &Config, store: &Store, topics: &Topics) -> anyhow::Result<Publisher> {
    let registry = config.registry.as_ref().map(Registry::new).transpose();
    Ok(Publisher {
        store: store.clone(),
        kafka: config.kafka.clone(),
        registry: registry.context("cannot build the HTTP client for the schema registry")?,
        subject: registry::booking_subject(topics),
        topic: topics.booking_changes().to_owned(),
        transactional_id: topics.group("changes"),
        registered: tokio::sync::OnceCell::new(),
    })
}

/// What the registry tells of the events' schemas, once it answers: without it no record could be read. `None` when
/// shutdown came first.
async fn schemas(
    config: &Config,
    health: Option<Component>,
    topics: &Topics,
    shutdown: &Shutdown,
) -> anyhow::Result<Option<Schemas>> {
    let (Some(config), Some(health)) = (&config.registry, health) else { return Ok(Some(Schemas::default())) };
    let client = Registry::new(config).context("cannot build the HTTP client for the schema registry")?;
    let schemas = Schemas::new(Some(client.clone()));
    let answers = registry::keep_read(client, registry::subjects(topics), schemas.clone(), health, shutdown.clone());
    Ok(answers.wait(shutdown).await.then_some(schemas))
}

/// A counter that is not there yet cannot be seen to rise for the first time.
fn zero_counters(topics: &Topics) {
    for event_type in handlers::labels() {
        for outcome in pipeline::OUTCOMES {
            metrics::counter!(names::EVENTS_PROCESSED, "event_type" => event_type, "outcome" => outcome).increment(0);
        }
    }
    for class in ErrorClass::ALL.map(ErrorClass::as_str) {
        metrics::counter!(names::DEAD_LETTERS, "error_class" => class).increment(0);
        for tier in topics.tiers() {
            let tier = tier.label.clone();
            metrics::counter!(names::RETRIES_SCHEDULED, "tier" => tier, "error_class" => class).increment(0);
        }
    }
    for operation in OPERATIONS {
        for outcome in StripeError::OUTCOMES.into_iter().chain(["ok"]) {
            metrics::counter!(names::STRIPE_REQUESTS, "operation" => operation, "outcome" => outcome).increment(0);
        }
    }
    money::zero_counters();
    for topic in [topics.calendly_events(), topics.stripe_events(), topics.due()] {
        metrics::gauge!(CONSUMER_LAG, "topic" => topic.to_owned()).set(0.0);
    }
}

/// Brings the schema up to date, however long the database takes to come. False when shutdown came first.
async fn migrate(store: &Store, health: &Component, shutdown: &Shutdown) -> anyhow::Result<bool> {
    let mut told = false;
    loop {
        match store.migrate().await {
            Ok(applied) => {
                health.up();
                if told {
                    tracing::info!(applied, "PostgreSQL answers");
                }
                return Ok(true);
            }
            Err(error @ StoreError::Unavailable(_)) => {
                health.down("no connection");
                if !told {
                    tracing::warn!(%error, "PostgreSQL is not reachable; trying on (check DATABASE_URL)");
                    told = true;
                }
            }
            Err(error) => return Err(error).context("cannot bring the database's schema up to date"),
        }
        tokio::select! {
            () = shutdown.cancelled() => return Ok(false),
            () = tokio::time::sleep(Duration::from_millis(500)) => {}
        }
    }
}

async fn watch_database(store: Store, health: Component, shutdown: Shutdown) {
    let mut up = true;
    while !shutdown.is_cancelled() {
        let answer = store.ping().await;
        match (&answer, up) {
            (Ok(()), false) => tracing::info!("PostgreSQL answers again"),
            (Err(error), true) => tracing::warn!(%error, "PostgreSQL is not reachable; trying on"),
            _ => {}
        }
        up = answer.is_ok();
        if up {
            health.up();
        } else {
            health.down("no connection");
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = tokio::time::sleep(DATABASE_INTERVAL) => {}
        }
    }
}
