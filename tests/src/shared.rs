//! One Kafka and one PostgreSQL for all tests of a run.

use std::path::Path;
use std::sync::OnceLock;

use crate::kafka::Kafka;
use crate::postgres::{Durability, Postgres};
use crate::rundir;

/// Brokers of a Kafka that runs already.
pub const KAFKA_VARIABLE: &str = "PIPELINE_TEST_KAFKA";
/// Superuser's connection string of database `postgres`, of a PostgreSQL that runs already.
pub const DATABASE_VARIABLE: &str = "PIPELINE_TEST_DATABASE_URL";

/// A Kafka and a PostgreSQL of our own.
#[derive(Debug)]
pub struct Stack {
    /// The broker.
    pub kafka: Kafka,
    /// The database server.
    pub postgres: Postgres,
}

impl Stack {
    /// Starts both at once.
    pub fn start(durability: Durability) -> Self {
        Self::start_with(durability, Kafka::start)
    }

    /// The same with servers as they are in production: a database that syncs, and [`Kafka::start_lasting`].
    pub fn start_lasting() -> Self {
        Self::start_with(Durability::Fsync, Kafka::start_lasting)
    }

    fn start_with(durability: Durability, kafka: fn(&Path) -> Kafka) -> Self {
        let postgres = std::thread::spawn(move || Postgres::start(&rundir::fresh("postgres"), durability));
        let kafka = kafka(&rundir::fresh("kafka"));
        let postgres = postgres.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Stack { kafka, postgres }
    }
}

/// Where the shared Kafka and PostgreSQL are.
#[derive(Clone, Debug)]
pub struct Shared {
    /// The value for `KAFKA_BROKERS`.
    pub brokers: String,
    /// Superuser's connection string of database `postgres`.
    pub database_url: String,
}

/// The shared Kafka and PostgreSQL: those of `with-stack`, else this process starts its own, which end with it. Blocks.
pub fn shared() -> &'static Shared {
    static SHARED: OnceLock<Shared> = OnceLock::new();
    static STACK: OnceLock<Stack> = OnceLock::new();
    SHARED.get_or_init(|| {
        let given = (std::env::var(KAFKA_VARIABLE), std::env::var(DATABASE_VARIABLE));
        if let (Ok(brokers), Ok(database_url)) = given {
            return Shared { brokers, database_url };
        }
        let stack = STACK.get_or_init(|| Stack::start(Durability::Fast));
        Shared { brokers: stack.kafka.brokers().to_owned(), database_url: stack.postgres.url("postgres") }
    })
}
