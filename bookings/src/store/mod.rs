//! All SQL. Every function is one transaction or one statement, and says what it leaves behind.

mod address;
mod apply;
mod audit;
mod changes;
mod error;
mod inspect;
mod params;
mod prices;
mod show;
mod status;
mod sweep;
mod tls;

use std::time::Duration;

use deadpool_postgres::{Client, Manager, ManagerConfig, Pool, PoolConfig, RecyclingMethod, Runtime};
use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;

pub use self::apply::{
    Answers, Applied, CheckoutRequest, ClaimedOperation, ErasedBooking, Failure, LEASE, Report, Request, Subject,
    TryEnd,
};
pub use self::changes::{Changes, Outbox, PendingChanges};
pub use self::error::{StoreError, UrlError};
pub use self::inspect::{Inspection, Reach};
pub use self::params::{CheckoutTerms, Fields};
pub use self::prices::ListedPrice;
pub use self::show::{BookingRow, HistoryRow, OperationRow};
pub use self::status::{PendingOperations, PoolStatus};
use crate::price::Price;

mod migrations {
    refinery::embed_migrations!("migrations");
}

/// How long to wait for a connection of the pool, or for a new one.
const WAIT: Duration = Duration::from_secs(5);
/// A statement that hangs must fail while its record can still be retried. And every statement finds its few rows by an
/// index, whatever the planner believes of a table that has just been filled (docs/decisions/0042).
const OPTIONS: &str = "-c statement_timeout=15000 -c lock_timeout=10000 -c idle_in_transaction_session_timeout=30000 \
                       -c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c jit=off";
/// How often a migration asks for a table that somebody has, and how long it lets the others go first.
const LOCK_TRIES: u32 = 60;
const LOCK_PAUSE: Duration = Duration::from_secs(2);

/// Bookings, their history, Stripe's ledger and prices, in the database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    pool: Pool,
    terms: std::sync::Arc<CheckoutTerms>,
    default_price: Price,
    /// Whether the address says `sslmode=disable`.
    declines_tls: bool,
}

impl Store {
    /// Opens a pool; connections are made when they are needed.
    pub fn new(
        url: &SecretString,
        pool_size: usize,
        terms: CheckoutTerms,
        default_price: Price,
    ) -> Result<Self, UrlError> {
        let (mut config, trust) = address::read(url.expose_secret())?;
        let tls = trust.connector()?;
        config.connect_timeout(WAIT);
        let declines_tls = config.get_ssl_mode() == SslMode::Disable;
        if config.get_application_name().is_none() {
            config.application_name("calendly-pipeline");
        }
        let options = config.get_options().map_or_else(|| OPTIONS.to_owned(), |own| format!("{OPTIONS} {own}"));
        config.options(options);
        let manager = Manager::from_config(config, tls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
        let mut sizes = PoolConfig::new(pool_size);
        sizes.timeouts.wait = Some(WAIT);
        sizes.timeouts.create = Some(WAIT);
        let pool =
            Pool::builder(manager).config(sizes).runtime(Runtime::Tokio1).build().map_err(|_| UrlError::Malformed)?;
        Ok(Self { pool, terms: std::sync::Arc::new(terms), default_price, declines_tls })
    }

    /// Brings the schema up to date. Several processes may do it at once: a lock lets one go first.
    ///
    /// When there is nothing to do, nothing is asked for that a role without rights on the schema could not have.
    pub async fn migrate(&self) -> Result<usize, StoreError> {
        let mut client = self.client().await?;
        if is_current(&client).await? {
            return Ok(0);
        }
        client.batch_execute("SELECT pg_advisory_lock(7263548101)").await?;
        // A migration may take its time over many rows. It must not wait for a table that a backup has, since everybody
        // else waits behind it: rather it comes again.
        client.batch_execute("SET statement_timeout = 0; SET lock_timeout = '1s'; SET enable_seqscan = on").await?;
        let mut tries = LOCK_TRIES;
        let report = loop {
            let report = migrations::migrations::runner().run_async(&mut **client).await;
            tries -= 1;
            match &report {
                Err(error) if tries > 0 && error::is_locked_out(error) => tokio::time::sleep(LOCK_PAUSE).await,
                _ => break report,
            }
        };
        let unlocked = client
            .batch_execute(
                "RESET statement_timeout; RESET lock_timeout; RESET enable_seqscan; SELECT pg_advisory_unlock(7263548101)",
            )
            .await;
        let report = report.map_err(|error| error::migration(&error))?;
        unlocked?;
        Ok(report.applied_migrations().len())
    }

    /// Asks the database for nothing, to see whether it answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.client().await?.batch_execute("SELECT 1").await?;
        Ok(())
    }

    async fn client(&self) -> Result<Client, StoreError> {
        Ok(self.pool.get().await?)
    }
}

/// Whether the last migration of this release is the last one that was applied.
async fn is_current(client: &Client) -> Result<bool, StoreError> {
    let newest =
        migrations::migrations::runner().get_migrations().iter().map(|migration| i64::from(migration.version())).max();
    match client.query_one("SELECT max(version)::bigint FROM refinery_schema_history", &[]).await {
        Ok(row) => Ok(row.try_get::<_, Option<i64>>(0)? == newest),
        // Not there yet.
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
