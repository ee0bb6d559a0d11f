//! What one test has for itself: topics, database, ports, folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::ports::free_port;
use crate::postgres;
use crate::rundir;
use crate::shared::shared;

/// Environment of a service.
pub type Env = BTreeMap<String, String>;

/// Signs Calendly's deliveries, for tests that do not set their own.
pub const CALENDLY_SIGNING_KEY: &str = "calendly-signing-key-of-tests";
/// Signs Stripe's deliveries, for tests that do not set their own.
pub const STRIPE_WEBHOOK_SECRET: &str = "whsec_of_tests";
/// What the services show Stripe.
pub const STRIPE_SECRET_KEY: &str = "sk_test_of_tests";
/// What event types cost that have no price of their own.
pub const DEFAULT_PRICE: &str = "5000 usd";
/// A Stripe that is not there, for tests that need none.
pub const NO_STRIPE: &str = "http://127.0.0.1:9";

/// The part of the shared Kafka and PostgreSQL that belongs to one test.
#[derive(Debug)]
pub struct Sandbox {
    prefix: String,
    brokers: String,
    database_url: String,
    ingest_port: u16,
    dir: PathBuf,
}

impl Sandbox {
    /// A sandbox on the shared Kafka and PostgreSQL, which are started if need be.
    pub async fn new(test_name: &str) -> Self {
        let shared = tokio::task::spawn_blocking(shared).await.expect("Kafka and PostgreSQL start");
        Self::on(test_name, &shared.brokers, &shared.database_url).await
    }

    /// A sandbox on a Kafka and a PostgreSQL of the test's own, which it may stop and kill.
    pub async fn on(test_name: &str, brokers: &str, superuser_url: &str) -> Self {
        let clean: String = test_name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let name = format!("{clean:.40}-{:08x}", rand::random::<u32>());
        let database_url = postgres::create_database(superuser_url, &name).await;
        Sandbox {
            prefix: format!("{name}."),
            brokers: brokers.to_owned(),
            database_url,
            ingest_port: free_port(),
            dir: rundir::fresh(&clean),
        }
    }

    /// `TOPIC_PREFIX`, with its closing dot.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The full name of a topic or group: `calendly.events` gives `<prefix>calendly.events`.
    pub fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// `KAFKA_BROKERS`.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// `DATABASE_URL`.
    pub fn database_url(&self) -> &str {
        &self.database_url
    }

    /// A connection to the test's database.
    pub async fn database(&self) -> tokio_postgres::Client {
        postgres::connect(&self.database_url).await
    }

    /// Where ingest listens: `http://127.0.0.1:<port>`, the same after a restart.
    pub fn ingest_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ingest_port)
    }

    /// A folder of the test's own; it stays until the next run for a look after a failure.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Environment of every service and of calctl. `ADMIN_ADDR` is not in it: each started service gets its own.
    pub fn env(&self, stripe_url: &str) -> Env {
        let mut env = service_env(&self.brokers, &self.database_url, self.ingest_port, stripe_url, &self.dir);
        env.insert("TOPIC_PREFIX".to_owned(), self.prefix.clone());
        env
    }
}

/// What every service and calctl need, with retries that take milliseconds and topics without a prefix.
pub fn service_env(brokers: &str, database_url: &str, ingest_port: u16, stripe_url: &str, dir: &Path) -> Env {
    let pairs = [
        ("KAFKA_BROKERS", brokers),
        ("TOPIC_PARTITIONS", "3"),
        ("TOPIC_REPLICATION", "1"),
        ("DATABASE_URL", database_url),
        ("DATABASE_POOL_SIZE", "6"),
        ("CALENDLY_SIGNING_KEYS", CALENDLY_SIGNING_KEY),
        ("STRIPE_WEBHOOK_SECRETS", STRIPE_WEBHOOK_SECRET),
        ("STRIPE_SECRET_KEY", STRIPE_SECRET_KEY),
        ("STRIPE_API_BASE", stripe_url),
        ("CHECKOUT_SUCCESS_URL", "https://shop.example/paid"),
        ("CHECKOUT_CANCEL_URL", "https://shop.example/cancelled"),
        ("DEFAULT_PRICE", DEFAULT_PRICE),
        ("INGEST_ADDR", &format!("127.0.0.1:{ingest_port}")),
        ("SPOOL_DIR", &dir.join("spool").display().to_string()),
        ("RETRY_DELAYS", "300ms,600ms,900ms"),
        ("LOG_FORMAT", "json"),
    ];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
