//! Ingest's configuration, read once at start.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::guardian::GuardianConfig;
use crate::server::Tls;
use runtime::env::{ConfigError, Env};
use runtime::kafka::{KafkaConfig, MAX_RECORD_BYTES};
use runtime::listen::ListenAddr;
use runtime::registry::RegistryConfig;
use schemas::ladder::RetryLadder;
use secrecy::{ExposeSecret, SecretString};

/// Default of `ADMIN_ADDR`.
pub const ADMIN_ADDR: &str = "127.0.0.1:9464";
/// A record repeats parts of the delivery beside it: in the worst case all of it, as a field and as the key.
const MAX_MAX_BODY_BYTES: usize = (MAX_RECORD_BYTES - 1024 * 1024) / 3;

/// `CALENDLY_LATE_DELIVERIES`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LateDeliveries {
    /// A delivery older than the tolerance is refused, as Calendly's own sample does.
    Reject,
    /// It is taken when it is authentic, and counted: for senders that do not sign their retries afresh.
    Accept,
}

impl FromStr for LateDeliveries {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "reject" => Ok(Self::Reject),
            "accept" => Ok(Self::Accept),
            _ => Err("must be reject or accept"),
        }
    }
}

/// Everything that ingest reads from the environment.
#[derive(Clone, Debug)]
pub struct Config {
    /// The brokers.
    pub kafka: KafkaConfig,
    /// `SCHEMA_REGISTRY_URL`, if there is one.
    pub registry: Option<RegistryConfig>,
    /// `RETRY_DELAYS`: ingest makes the tiers' topics like every service.
    pub ladder: RetryLadder,
    /// `INGEST_ADDR`.
    pub addr: ListenAddr,
    /// `ADMIN_ADDR`.
    pub admin_addr: ListenAddr,
    /// `CALENDLY_SIGNING_KEYS`: any one may have signed.
    pub calendly_keys: Vec<SecretString>,
    /// `STRIPE_WEBHOOK_SECRETS`; without one there is no Stripe webhook.
    pub stripe_secrets: Vec<SecretString>,
    /// `WEBHOOK_TOLERANCE`, past and future.
    pub tolerance: Duration,
    /// `CALENDLY_LATE_DELIVERIES`.
    pub late_deliveries: LateDeliveries,
    /// `MAX_BODY_BYTES`.
    pub max_body_bytes: usize,
    /// `CALENDLY_TOKEN`, `PUBLIC_URL` and what goes with them; without these two nobody watches the subscription.
    pub guardian: Option<GuardianConfig>,
    /// `INGEST_TLS_CERT` and `INGEST_TLS_KEY`.
    pub(crate) tls: Tls,
    /// `SPOOL_DIR`: one process at a time.
    pub spool_dir: PathBuf,
    /// `SPOOL_MAX_BYTES`, of records; the file can take up to three times as much.
    pub spool_max_bytes: u64,
    /// `SPOOL_AFTER`: how long a request waits for Kafka before it takes the spool.
    pub spool_after: Duration,
}

impl Config {
    /// Reads and checks all of it.
    pub fn from_env(env: &Env) -> Result<Self, ConfigError> {
        let calendly_keys = calendly_keys(env)?;
        let max_body_bytes = env.parse("MAX_BODY_BYTES", 1024 * 1024)?;
        if !(1..=MAX_MAX_BODY_BYTES).contains(&max_body_bytes) {
            return Err(ConfigError::new("MAX_BODY_BYTES", format!("must be 1 to {MAX_MAX_BODY_BYTES}")));
        }
        Ok(Self {
            kafka: KafkaConfig::from_env(env)?,
            registry: RegistryConfig::from_env(env)?,
            ladder: env.parse("RETRY_DELAYS", RetryLadder::default())?,
            addr: ListenAddr::from_env(env, "INGEST_ADDR", "0.0.0.0:8080")?,
            admin_addr: ListenAddr::from_env(env, "ADMIN_ADDR", ADMIN_ADDR)?,
            calendly_keys,
            stripe_secrets: stripe_secrets(env)?,
            tolerance: env.duration("WEBHOOK_TOLERANCE", Duration::from_mins(3))?,
            late_deliveries: env.parse("CALENDLY_LATE_DELIVERIES", LateDeliveries::Reject)?,
            max_body_bytes,
            guardian: GuardianConfig::from_env(env)?,
            tls: Tls::from_env(env)?,
            spool_dir: env.optional("SPOOL_DIR")?.unwrap_or_else(|| "./data/spool".to_owned()).into(),
            spool_max_bytes: spool_max_bytes(env)?,
            spool_after: spool_after(env)?,
        })
    }
}

/// `CALENDLY_SIGNING_KEYS`, at least one.
pub(crate) fn calendly_keys(env: &Env) -> Result<Vec<SecretString>, ConfigError> {
    let calendly_keys = keys(env, "CALENDLY_SIGNING_KEYS")?;
    if calendly_keys.is_empty() {
        let problem = "is missing or empty; set it to the signing key of your webhook subscription";
        return Err(ConfigError::new("CALENDLY_SIGNING_KEYS", problem));
    }
    Ok(calendly_keys)
}

/// `STRIPE_WEBHOOK_SECRETS`, perhaps none.
pub(crate) fn stripe_secrets(env: &Env) -> Result<Vec<SecretString>, ConfigError> {
    keys(env, "STRIPE_WEBHOOK_SECRETS")
}

fn spool_max_bytes(env: &Env) -> Result<u64, ConfigError> {
    match env.parse("SPOOL_MAX_BYTES", 1024 * 1024 * 1024)? {
        0 => Err(ConfigError::new("SPOOL_MAX_BYTES", "must be 1 or more")),
        bytes => Ok(bytes),
    }
}

/// A request that waits for longer than this for Kafka, and then for the disk, comes too near to the senders' patience.
fn spool_after(env: &Env) -> Result<Duration, ConfigError> {
    let after = env.duration("SPOOL_AFTER", Duration::from_millis(400))?;
    if after > Duration::from_secs(3) {
        return Err(ConfigError::new("SPOOL_AFTER", "must be 3s or less"));
    }
    Ok(after)
}

/// An empty key would let anybody sign.
fn keys(env: &Env, name: &'static str) -> Result<Vec<SecretString>, ConfigError> {
    let keys = env.secrets(name)?;
    if keys.iter().any(|key| key.expose_secret().trim().is_empty()) {
        return Err(ConfigError::new(name, "has an empty entry; separate keys by single commas"));
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_and_errors() {
        let complete = || vec![("KAFKA_BROKERS", "localhost:9092"), ("CALENDLY_SIGNING_KEYS", "one,two")];
        let config = Config::from_env(&Env::from_pairs(complete())).unwrap();
        assert_eq!((config.calendly_keys.len(), config.stripe_secrets.len()), (2, 0));
        assert_eq!((config.tolerance, config.max_body_bytes), (Duration::from_mins(3), 1_048_576));
        assert_eq!(config.late_deliveries, LateDeliveries::Reject);
        assert!(!format!("{config:?}").contains("two"));
        for (name, value) in [
            ("KAFKA_BROKERS", ""),
            ("CALENDLY_SIGNING_KEYS", ""),
            ("MAX_BODY_BYTES", "0"),
            ("MAX_BODY_BYTES", "1MB"),
            ("WEBHOOK_TOLERANCE", "180"),
            ("CALENDLY_LATE_DELIVERIES", "maybe"),
            ("INGEST_ADDR", "8080"),
            ("SPOOL_MAX_BYTES", "1GiB"),
            ("SPOOL_MAX_BYTES", "0"),
            ("SPOOL_AFTER", "5s"),
            ("PUBLIC_URL", "hooks.example.com"),
            ("CALENDLY_API_BASE", "calendly"),
            ("CALENDLY_SCOPE", "everybody"),
            ("CALENDLY_WATCH_INTERVAL", "0s"),
            ("CALENDLY_BACKFILL", "0s"),
            ("CALENDLY_BACKFILL", "never"),
            ("CALENDLY_BACKFILL", "721h"),
        ] {
            let mut pairs = complete();
            pairs.retain(|(other, _)| *other != name);
            pairs.push((name, value));
            assert_eq!(Config::from_env(&Env::from_pairs(pairs)).unwrap_err().variable(), name, "{value}");
        }
    }
}
