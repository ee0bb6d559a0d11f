//! Stripe: does it take the key, and would we hear of payments?

use processor::config::StripeConfig;
use processor::stripe::{Stripe, StripeError};
use runtime::env::{ConfigError, Env};
use secrecy::{ExposeSecret as _, SecretString};

use super::finding::Finding;

const API: &str = "stripe";
const WEBHOOKS: &str = "stripe-webhooks";

pub(super) async fn check(env: &Env) -> Vec<Finding> {
    match config(env) {
        Ok(Some(config)) => vec![of_api(&config).await],
        Ok(None) => vec![Finding::not_configured(API, "STRIPE_SECRET_KEY")],
        Err(error) => vec![Finding::unreadable(API, &error)],
    }
}

/// None without a key; that one is needed, `configuration` says.
pub(super) fn config(env: &Env) -> Result<Option<StripeConfig>, ConfigError> {
    if env.optional("STRIPE_SECRET_KEY")?.is_none() {
        return Ok(None);
    }
    StripeConfig::from_env(env).map(Some)
}

async fn of_api(config: &StripeConfig) -> Finding {
    let Ok(stripe) = Stripe::new(config) else {
        return Finding::fail(API, "the HTTP client cannot be built", "is this machine out of files?");
    };
    let host = config.api_base.host_str().unwrap_or_default();
    match (stripe.try_key().await, mode(&config.secret_key)) {
        (Ok(()), Some(mode)) => Finding::ok(API, format!("{host} takes the key, of {mode} mode")),
        (Ok(()), None) => {
            let detail = format!("{host} takes the key, which looks like none of Stripe's");
            Finding::warn(API, detail, "STRIPE_SECRET_KEY should begin with sk_live_, rk_live_, sk_test_ or rk_test_")
        }
        (Err(error), _) => Finding::fail(API, error.to_string(), advice(&error)),
    }
}

fn mode(key: &SecretString) -> Option<&'static str> {
    let (kind, rest) = key.expose_secret().split_once('_')?;
    let (mode, _) = rest.split_once('_')?;
    match (kind, mode) {
        ("sk" | "rk", "live") => Some("live"),
        ("sk" | "rk", "test") => Some("test"),
        _ => None,
    }
}

fn advice(error: &StripeError) -> &'static str {
    match error {
        StripeError::Unreachable { .. } | StripeError::Broken { .. } | StripeError::Unreadable { .. } => {
            "check the network and STRIPE_API_BASE"
        }
        StripeError::Credentials { .. } => "set it to a key that may read and write Checkout sessions and refunds",
        StripeError::RateLimited { .. } => "lower STRIPE_MAX_REQUESTS_PER_SECOND",
        StripeError::Conflict { .. }
        | StripeError::KeyReused { .. }
        | StripeError::Server { .. }
        | StripeError::Refused { .. }
        | StripeError::GaveUp { .. } => "see status.stripe.com, and the request in Stripe's dashboard",
    }
}

/// Nothing where Stripe is not used.
pub(super) fn webhooks(env: &Env) -> Vec<Finding> {
    if !matches!(config(env), Ok(Some(_))) {
        return Vec::new();
    }
    vec![match env.secrets("STRIPE_WEBHOOK_SECRETS") {
        Ok(secrets) if secrets.is_empty() => {
            let advice = "add the webhook endpoint at Stripe, and set STRIPE_WEBHOOK_SECRETS to its secret";
            Finding::warn(WEBHOOKS, "no secret: nobody hears of payments", advice)
        }
        Ok(secrets) if secrets.len() == 1 => Finding::ok(WEBHOOKS, "1 secret"),
        Ok(secrets) => Finding::ok(WEBHOOKS, format!("{} secrets, any one may match", secrets.len())),
        Err(error) => Finding::unreadable(WEBHOOKS, &error),
    }]
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_key_tells_its_mode() {
        for (key, mode) in [
            ("sk_live_1", Some("live")),
            ("rk_test_1_2", Some("test")),
            ("pk_live_1", None),
            ("sk_live", None),
            ("secret", None),
        ] {
            assert_eq!(super::mode(&key.into()), mode, "{key}");
        }
    }
}
