//! Keeps Calendly's subscription to our webhook as it should be, tells how it is, and fetches what it did not deliver.
//!
//! Calendly disables a subscription that has failed for 24 hours and tells nobody. Every replica looks after it: see
//! [`calendly::ensure`] for why that is harmless. A disabled one stays until what it did not deliver is published, so
//! whoever dies meanwhile leaves a mark of the gap at Calendly (decision 39).

mod config;
mod fill;
mod gap;
mod told;

use std::time::Duration;

use calendly::{Calendly, CalendlyError, EVENTS, Ensured, Gap, Manner, Outcome, Wish, ensure, remove};
use jiff::Timestamp;
use runtime::shutdown::Shutdown;

pub(crate) use self::config::FirstKey;
pub use self::config::GuardianConfig;
use self::fill::{FillError, fill};
use self::gap::Past;
use self::told::{Told, tell_given_up, tell_left};
use crate::publish::Publisher;

/// After a look that failed; doubles up to the interval.
const FIRST_PAUSE: Duration = Duration::from_secs(2);

/// Looks at the subscription at once, and then every `CALENDLY_WATCH_INTERVAL` until shutdown.
pub(crate) async fn guard(config: GuardianConfig, key: FirstKey, publisher: Publisher, shutdown: Shutdown) {
    let client = match Calendly::new(&config.api) {
        Ok(client) => client,
        Err(error) => return tracing::error!(%error, "Calendly's subscription is not watched: no HTTP client"),
    };
    let interval = config.interval;
    let mut guardian = Guardian::new(config, client, key);
    let mut pause = FIRST_PAUSE;
    loop {
        let looked = {
            let mut looking = std::pin::pin!(guardian.look());
            tokio::select! {
                looked = &mut looking => looked,
                () = shutdown.cancelled() => {
                    // The spool closes when nobody has it any more. The look goes on: it may be between deleting and
                    // creating.
                    drop(publisher);
                    let _ = looking.await;
                    return;
                }
            }
        };
        // Cut short: what marks the gap stays as it is.
        let settled = match &looked {
            Ok(ensured) => tokio::select! {
                next = guardian.settle(ensured, &publisher) => next,
                () = shutdown.cancelled() => return,
            },
            Err(_) => Next::Later,
        };
        if settled == Next::AtOnce {
            continue;
        }
        let wait = if looked.is_ok() { interval } else { pause.min(interval) };
        pause = if looked.is_ok() { FIRST_PAUSE } else { wait * 2 };
        // A little apart from the other replicas.
        let wait = wait.mul_f64(rand::random_range(0.9..=1.0));
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shutdown.cancelled() => return,
        }
    }
}

/// When to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    AtOnce,
    Later,
}

struct Guardian {
    config: GuardianConfig,
    client: Calendly,
    key: FirstKey,
    wish: Option<Wish>,
    past: Past,
    /// What is known to be missing.
    open: Option<Gap>,
    /// Nothing more can be fetched for those that are in the way, so they may go.
    unblock: bool,
    told: Told,
}

impl Guardian {
    fn new(config: GuardianConfig, client: Calendly, key: FirstKey) -> Self {
        let (past, told) = (Past::default(), Told::new());
        Self { config, client, key, wish: None, past, open: None, unblock: false, told }
    }

    async fn look(&mut self) -> Result<Ensured, CalendlyError> {
        let looked = self.ensure().await;
        self.told.tell(&looked);
        looked
    }

    async fn ensure(&mut self) -> Result<Ensured, CalendlyError> {
        let wish = if let Some(wish) = self.wish.take() {
            wish
        } else {
            let subject = self.config.scope.resolve(&self.client).await?;
            Wish { url: self.config.url.clone(), subject, events: EVENTS.map(str::to_owned).into() }
        };
        let keep_disabled = self.config.look_back.is_some() && !std::mem::take(&mut self.unblock);
        let key = self.key.current();
        let wish = self.wish.insert(wish);
        ensure(&self.client, wish, &key, Manner { renew: false, keep_disabled }).await
    }

    /// Fetches what is missing, then removes what marked it.
    async fn settle(&mut self, ensured: &Ensured, publisher: &Publisher) -> Next {
        let Some(look_back) = self.config.look_back else { return Next::Later };
        let now = Timestamp::now();
        if let Some(gap) = self.past.gap(ensured, look_back, now) {
            self.open = Some(self.open.map_or(gap, |open| open.joined(gap)));
        }
        self.past.saw(ensured, now);
        let is_blocked = ensured.outcome == Outcome::Blocked;
        if let Some(gap) = self.open {
            match self.fill(gap, publisher).await {
                Ok(()) => {
                    self.open = None;
                    self.past.filled(ensured, now);
                }
                // What Calendly will not tell is no reason to go without deliveries.
                Err(
                    FillError::Hidden(_)
                    | FillError::Calendly(CalendlyError::Forbidden { .. } | CalendlyError::Plan { .. }),
                ) if is_blocked => tell_given_up(&gap),
                Err(_) => return Next::Later,
            }
        }
        if is_blocked {
            self.unblock = true;
            return Next::AtOnce;
        }
        tell_left(&remove(&self.client, &ensured.kept).await);
        Next::Later
    }

    async fn fill(&mut self, gap: Gap, publisher: &Publisher) -> Result<(), FillError> {
        let Some(wish) = &self.wish else { return Ok(()) };
        self.told.tell_open(&gap);
        let filled = fill(&self.client, &wish.subject, gap, publisher).await;
        self.told.tell_filled(&filled);
        filled.map(drop)
    }
}
