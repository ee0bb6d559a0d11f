//! Keeps Calendly's subscription to our webhook as it should be, and tells how it is.
//!
//! Calendly disables a subscription that has failed for 24 hours and tells nobody. Every replica looks after it: see
//! [`calendly::ensure`] for why that is harmless.

use std::collections::BTreeSet;
use std::mem::{Discriminant, discriminant};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use calendly::{
    ApiConfig, Calendly, CalendlyError, EVENTS, Ensured, Outcome, ScopeChoice, State, Subscription, Url, Wish,
    callback_url, ensure,
};
use jiff::Timestamp;
use runtime::env::{ConfigError, Env};
use runtime::metrics::{CALENDLY_SUBSCRIPTION_ACTIVE, CALENDLY_SUBSCRIPTION_CHECKS, CALENDLY_SUBSCRIPTION_FAILING};
use runtime::shutdown::Shutdown;
use secrecy::SecretString;

/// After a look that failed; doubles up to the interval.
const FIRST_PAUSE: Duration = Duration::from_secs(2);

/// What the guardian has to know.
#[derive(Clone, Debug)]
pub struct GuardianConfig {
    api: ApiConfig,
    url: Url,
    scope: ScopeChoice,
    interval: Duration,
}

impl GuardianConfig {
    /// Reads it; none unless both `CALENDLY_TOKEN` and `PUBLIC_URL` are set.
    pub(crate) fn from_env(env: &Env) -> Result<Option<Self>, ConfigError> {
        let (api, url) = (ApiConfig::from_env(env)?, callback_url(env)?);
        let scope = ScopeChoice::from_env(env)?;
        let interval = env.duration("CALENDLY_WATCH_INTERVAL", Duration::from_mins(5))?;
        Ok(api.zip(url).map(|(api, url)| Self { api, url, scope, interval }))
    }
}

/// The key that a new subscription gets: the first of `CALENDLY_SIGNING_KEYS`, also after a SIGHUP.
#[derive(Clone)]
pub(crate) struct FirstKey(Arc<ArcSwap<SecretString>>);

impl FirstKey {
    /// None of no keys, which the configuration does not let pass.
    pub(crate) fn of(keys: &[SecretString]) -> Option<Self> {
        keys.first().map(|key| Self(Arc::new(ArcSwap::from_pointee(key.clone()))))
    }

    pub(crate) fn replace(&self, keys: &[SecretString]) {
        if let Some(key) = keys.first() {
            self.0.store(Arc::new(key.clone()));
        }
    }
}

/// Looks at the subscription at once, and then every `CALENDLY_WATCH_INTERVAL` until shutdown.
pub(crate) async fn guard(config: GuardianConfig, key: FirstKey, shutdown: Shutdown) {
    let client = match Calendly::new(&config.api) {
        Ok(client) => client,
        Err(error) => return tracing::error!(%error, "Calendly's subscription is not watched: no HTTP client"),
    };
    let mut wish = None;
    let mut told = Told::default();
    let mut pause = FIRST_PAUSE;
    loop {
        // Not cut short by a shutdown: it may be between deleting and creating.
        let looked = look(&client, &config, &key, &mut wish).await;
        told.tell(&looked);
        let wait = if looked.is_ok() { config.interval } else { pause.min(config.interval) };
        pause = if looked.is_ok() { FIRST_PAUSE } else { wait * 2 };
        // A little apart from the other replicas.
        let wait = wait.mul_f64(rand::random_range(0.9..=1.0));
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shutdown.cancelled() => return,
        }
    }
}

async fn look(
    client: &Calendly,
    config: &GuardianConfig,
    key: &FirstKey,
    known: &mut Option<Wish>,
) -> Result<Ensured, CalendlyError> {
    let wish = if let Some(wish) = known {
        &*wish
    } else {
        let subject = config.scope.resolve(client).await?;
        let events: BTreeSet<String> = EVENTS.map(str::to_owned).into();
        &*known.insert(Wish { url: config.url.clone(), subject, events })
    };
    let key = key.0.load_full();
    ensure(client, wish, &key, false).await
}

/// What the log has said already.
#[derive(Default)]
struct Told {
    failure: Option<Discriminant<CalendlyError>>,
    failing: bool,
}

impl Told {
    fn tell(&mut self, looked: &Result<Ensured, CalendlyError>) {
        let outcome = match looked {
            Ok(Ensured { outcome: Outcome::Unchanged, .. }) => "unchanged",
            Ok(Ensured { outcome: Outcome::Created | Outcome::Replaced, .. }) => "created",
            Err(_) => "failed",
        };
        metrics::counter!(CALENDLY_SUBSCRIPTION_CHECKS, "outcome" => outcome).increment(1);
        match looked {
            Ok(ensured) => self.tell_found(ensured),
            Err(error) => {
                if rules_out(error) {
                    metrics::gauge!(CALENDLY_SUBSCRIPTION_ACTIVE).set(0.0);
                }
                if self.failure.replace(discriminant(error)) != Some(discriminant(error)) {
                    tracing::warn!(%error, "Calendly's subscription cannot be looked after");
                }
            }
        }
    }

    fn tell_found(&mut self, ensured: &Ensured) {
        if self.failure.take().is_some() {
            tracing::info!("Calendly's subscription is looked after again");
        }
        let subscription = ensured.subscription.as_ref();
        if ensured.outcome != Outcome::Unchanged {
            let uri = subscription.map(|one| one.uri.as_str());
            tracing::warn!(
                uri,
                replaced = ensured.deleted.len(),
                "Calendly's subscription was missing, disabled or wrong; there is a new one"
            );
        }
        for left in &ensured.left {
            tracing::warn!(uri = left.uri, error = %left.error, "an old subscription cannot be deleted; it does no harm");
        }
        let active = subscription.is_some_and(|one| one.state == State::Active);
        metrics::gauge!(CALENDLY_SUBSCRIPTION_ACTIVE).set(if active { 1.0 } else { 0.0 });
        let failing = subscription.and_then(failing_since);
        metrics::gauge!(CALENDLY_SUBSCRIPTION_FAILING).set(failing.map_or(0.0, |since| since.as_secs_f64()));
        if failing.is_some() && !self.failing {
            tracing::warn!("Calendly's deliveries are failing; after 24 hours of that it disables the subscription");
        }
        self.failing = failing.is_some();
    }
}

/// How long deliveries have been failing, if they are. A clock behind Calendly's must not hide it.
fn failing_since(subscription: &Subscription) -> Option<Duration> {
    let since = subscription.retry_started_at?;
    let long = Duration::try_from(Timestamp::now().duration_since(since)).unwrap_or_default();
    Some(long.max(Duration::from_secs(1)))
}

/// Whether such an answer means that there is no right subscription. Of others nobody knows; the last look stands.
fn rules_out(error: &CalendlyError) -> bool {
    match error {
        CalendlyError::Plan { .. }
        | CalendlyError::Exists { .. }
        | CalendlyError::NotFound { .. }
        | CalendlyError::Refused { .. } => true,
        CalendlyError::Unreachable { .. }
        | CalendlyError::Broken { .. }
        | CalendlyError::RateLimited { .. }
        | CalendlyError::Server { .. }
        | CalendlyError::Token { .. }
        | CalendlyError::Forbidden { .. }
        | CalendlyError::Unreadable { .. } => false,
    }
}
