//! What the guardian has to know.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use calendly::{ApiConfig, ScopeChoice, Url, callback_url};
use jiff::SignedDuration;
use runtime::env::{ConfigError, Env};
use schemas::parse_duration;
use secrecy::SecretString;

use super::gap::LONGEST;

/// A day, after which Calendly disables a subscription, and what a clock or a look may be late.
const LOOK_BACK: SignedDuration = SignedDuration::from_hours(25);

/// What the guardian has to know.
#[derive(Clone, Debug)]
pub struct GuardianConfig {
    pub(super) api: ApiConfig,
    pub(super) url: Url,
    pub(super) scope: ScopeChoice,
    pub(super) interval: Duration,
    /// How far back to fetch when nothing tells when a gap began; none if nothing is to be fetched.
    pub(super) look_back: Option<SignedDuration>,
}

impl GuardianConfig {
    /// Reads it; none unless both `CALENDLY_TOKEN` and `PUBLIC_URL` are set.
    pub(crate) fn from_env(env: &Env) -> Result<Option<Self>, ConfigError> {
        let (api, url) = (ApiConfig::from_env(env)?, callback_url(env)?);
        let scope = ScopeChoice::from_env(env)?;
        let interval = env.duration("CALENDLY_WATCH_INTERVAL", Duration::from_mins(5))?;
        let look_back = env.parse("CALENDLY_BACKFILL", LookBack(Some(LOOK_BACK)))?.0;
        Ok(api.zip(url).map(|(api, url)| Self { api, url, scope, interval, look_back }))
    }
}

/// `CALENDLY_BACKFILL`.
struct LookBack(Option<SignedDuration>);

impl FromStr for LookBack {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" {
            return Ok(Self(None));
        }
        let long = parse_duration(text).map_err(|error| format!("{error}, or off"))?;
        let long = SignedDuration::try_from(long).unwrap_or(SignedDuration::MAX);
        if long.is_zero() || long > LONGEST {
            return Err(format!("must be longer than zero and at most {}h, or off", LONGEST.as_hours()));
        }
        Ok(Self(Some(long)))
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

    pub(super) fn current(&self) -> Arc<SecretString> {
        self.0.load_full()
    }

    pub(crate) fn replace(&self, keys: &[SecretString]) {
        if let Some(key) = keys.first() {
            self.0.store(Arc::new(key.clone()));
        }
    }
}
