//! SIGHUP: keys and certificate are read again from their files, without a moment in which there are none.

use runtime::env::{ConfigError, Env};
use runtime::shutdown::Shutdown;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::{calendly_keys, stripe_secrets};
use crate::guardian::FirstKey;
use crate::routes::Verifiers;
use crate::server::Tls;
use crate::signature::Keys;

/// What can be replaced while the service runs.
pub(crate) struct Reload {
    env: Env,
    calendly: Keys,
    first_key: Option<FirstKey>,
    stripe: Option<Keys>,
    tls: Tls,
}

impl Reload {
    pub(crate) fn new(env: Env, verifiers: &Verifiers, first_key: Option<FirstKey>, tls: Tls) -> Self {
        let stripe = verifiers.stripe.as_ref().map(crate::signature::Verifier::keys);
        Self { env, calendly: verifiers.calendly.keys(), first_key, stripe, tls }
    }

    /// Begins to listen for the signal, which would end the process else.
    pub(crate) fn on_hangup(self, shutdown: Shutdown) -> std::io::Result<()> {
        let hangup = signal(SignalKind::hangup())?;
        tokio::spawn(async move {
            tokio::select! {
                () = self.watch(hangup) => {}
                () = shutdown.cancelled() => {}
            }
        });
        Ok(())
    }

    async fn watch(&self, mut hangup: Signal) {
        while hangup.recv().await.is_some() {
            match self.reload() {
                Ok(()) => tracing::info!("SIGHUP: keys and certificate are read again"),
                Err(error) => tracing::error!(%error, "SIGHUP: nothing is changed"),
            }
        }
    }

    /// All of it or nothing.
    fn reload(&self) -> Result<(), ConfigError> {
        let (calendly, stripe) = (calendly_keys(&self.env)?, stripe_secrets(&self.env)?);
        if stripe.is_empty() == self.stripe.is_some() {
            let problem = "cannot go from none to some or from some to none without a restart";
            return Err(ConfigError::new("STRIPE_WEBHOOK_SECRETS", problem));
        }
        self.tls.reload(&self.env)?;
        self.calendly.replace(&calendly);
        if let Some(first_key) = &self.first_key {
            first_key.replace(&calendly);
        }
        if let Some(keys) = &self.stripe {
            keys.replace(&stripe);
        }
        Ok(())
    }
}
