//! The processor's configuration, read once at start.

use std::time::Duration;

use bookings::Price;
use bookings::store::CheckoutTerms;
use reqwest::Url;
use runtime::env::{ConfigError, Env};
use runtime::kafka::KafkaConfig;
use runtime::registry::RegistryConfig;
use schemas::ladder::RetryLadder;
use secrecy::SecretString;

/// How to reach Stripe.
#[derive(Clone, Debug)]
pub struct StripeConfig {
    /// `STRIPE_SECRET_KEY`.
    pub secret_key: SecretString,
    /// `STRIPE_API_BASE`: an origin, without `/v1`.
    pub api_base: Url,
    /// `STRIPE_MAX_REQUESTS_PER_SECOND`.
    pub max_requests_per_second: u32,
}

/// Everything that the processor reads from the environment.
#[derive(Clone, Debug)]
pub struct Config {
    /// The brokers.
    pub kafka: KafkaConfig,
    /// `SCHEMA_REGISTRY_URL`, if there is one.
    pub registry: Option<RegistryConfig>,
    /// `RETRY_DELAYS`.
    pub ladder: RetryLadder,
    /// `RETRY_MAX_ATTEMPTS`: retries after the first try.
    pub max_attempts: u32,
    /// `PROCESSOR_CONCURRENCY`: records in flight.
    pub concurrency: usize,
    /// `DATABASE_URL`.
    pub database_url: SecretString,
    /// `DATABASE_POOL_SIZE`.
    pub database_pool_size: usize,
    /// Stripe.
    pub stripe: StripeConfig,
    /// `CHECKOUT_*`.
    pub checkout: CheckoutTerms,
    /// `DEFAULT_PRICE`.
    pub default_price: Price,
}

impl Config {
    /// Reads and checks all of it.
    pub fn from_env(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self {
            kafka: KafkaConfig::from_env(env)?,
            registry: RegistryConfig::from_env(env)?,
            ladder: env.parse("RETRY_DELAYS", RetryLadder::default())?,
            max_attempts: env.parse("RETRY_MAX_ATTEMPTS", 5)?,
            concurrency: between(env, "PROCESSOR_CONCURRENCY", 64, 4096)?,
            database_url: SecretString::from(env.required("DATABASE_URL")?),
            database_pool_size: between(env, "DATABASE_POOL_SIZE", 16, 1000)?,
            stripe: StripeConfig::from_env(env)?,
            checkout: CheckoutTerms {
                success_url: url(env, "CHECKOUT_SUCCESS_URL")?,
                cancel_url: url(env, "CHECKOUT_CANCEL_URL")?,
                ttl: checkout_ttl(env)?,
            },
            default_price: env.parse("DEFAULT_PRICE", Price::Free)?,
        })
    }
}

impl StripeConfig {
    /// Reads `STRIPE_SECRET_KEY`, `STRIPE_API_BASE` and `STRIPE_MAX_REQUESTS_PER_SECOND`.
    pub fn from_env(env: &Env) -> Result<Self, ConfigError> {
        let text = env.optional("STRIPE_API_BASE")?.unwrap_or_else(|| "https://api.stripe.com".to_owned());
        let problem =
            || ConfigError::new("STRIPE_API_BASE", "must be an origin such as https://api.stripe.com, without /v1");
        let api_base = Url::parse(text.trim()).map_err(|_| problem())?;
        let is_origin =
            matches!(api_base.scheme(), "http" | "https") && api_base.path() == "/" && api_base.query().is_none();
        if !is_origin || !api_base.has_host() || !api_base.username().is_empty() {
            return Err(problem());
        }
        let per_second = between(env, "STRIPE_MAX_REQUESTS_PER_SECOND", 80, 10_000)?;
        Ok(Self {
            secret_key: SecretString::from(env.required("STRIPE_SECRET_KEY")?.trim().to_owned()),
            api_base,
            max_requests_per_second: u32::try_from(per_second).unwrap_or(u32::MAX),
        })
    }
}

fn between(env: &Env, name: &'static str, default: usize, most: usize) -> Result<usize, ConfigError> {
    let number = env.parse(name, default)?;
    if (1..=most).contains(&number) { Ok(number) } else { Err(ConfigError::new(name, format!("must be 1 to {most}"))) }
}

/// Stripe puts `{CHECKOUT_SESSION_ID}` into the address, so it is checked but kept as it was written.
fn url(env: &Env, name: &'static str) -> Result<String, ConfigError> {
    let text = env.required(name)?;
    match Url::parse(&text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(text),
        _ => Err(ConfigError::new(name, "must be an http or https address")),
    }
}

fn checkout_ttl(env: &Env) -> Result<Duration, ConfigError> {
    let ttl = env.duration("CHECKOUT_TTL", Duration::from_hours(24))?;
    if ttl < Duration::from_mins(30) || ttl > Duration::from_hours(24) {
        return Err(ConfigError::new("CHECKOUT_TTL", "must be 30m to 24h, as Stripe allows no other"));
    }
    Ok(ttl)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete() -> Vec<(&'static str, &'static str)> {
        vec![
            ("KAFKA_BROKERS", "localhost:9092"),
            ("DATABASE_URL", "postgres://localhost/bookings"),
            ("STRIPE_SECRET_KEY", "sk_test_x"),
            ("CHECKOUT_SUCCESS_URL", "https://shop.example/paid?s={CHECKOUT_SESSION_ID}"),
            ("CHECKOUT_CANCEL_URL", "https://shop.example/"),
        ]
    }

    #[test]
    fn the_defaults_are_the_contracts() {
        let config = Config::from_env(&Env::from_pairs(complete())).unwrap();
        assert_eq!((config.max_attempts, config.concurrency, config.database_pool_size), (5, 64, 16));
        assert_eq!(config.default_price, Price::Free);
        assert_eq!(config.checkout.ttl, Duration::from_hours(24));
        assert_eq!(config.stripe.max_requests_per_second, 80);
        assert_eq!(config.stripe.api_base.as_str(), "https://api.stripe.com/");
        assert!(!format!("{config:?}").contains("sk_test_x"));
    }

    #[test]
    fn every_wrong_value_names_its_variable() {
        for (name, value) in [
            ("KAFKA_BROKERS", ""),
            ("DATABASE_URL", " "),
            ("DATABASE_POOL_SIZE", "0"),
            ("STRIPE_SECRET_KEY", ""),
            ("STRIPE_API_BASE", "https://api.stripe.com/v1"),
            ("STRIPE_API_BASE", "api.stripe.com"),
            ("STRIPE_MAX_REQUESTS_PER_SECOND", "0"),
            ("CHECKOUT_SUCCESS_URL", "shop"),
            ("CHECKOUT_CANCEL_URL", ""),
            ("CHECKOUT_TTL", "29m"),
            ("CHECKOUT_TTL", "25h"),
            ("CHECKOUT_TTL", "60"),
            ("DEFAULT_PRICE", "50.00 usd"),
            ("PROCESSOR_CONCURRENCY", "none"),
            ("RETRY_DELAYS", "1m,5"),
            ("RETRY_MAX_ATTEMPTS", "-1"),
        ] {
            let mut pairs = complete();
            pairs.retain(|(other, _)| *other != name);
            pairs.push((name, value));
            let error = Config::from_env(&Env::from_pairs(pairs)).unwrap_err();
            assert_eq!(error.variable(), name, "{value}");
        }
    }
}
