//! The retry ladder: from a failure to the tier that waits for it, as a pure function.

use std::{fmt, str::FromStr, time::Duration};

use jiff::Timestamp;

use crate::duration::{DurationError, parse_duration};

/// Why a record failed, under the names of the `error-class` header and the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// May work the next time: a lost connection, a 5xx.
    Transient,
    /// The other side asked for a pause.
    RateLimited,
    /// Another event has to come first.
    Dependency,
    /// Will never work.
    Permanent,
    /// Authentic, but not an event.
    InvalidPayload,
    /// Failed once more after the last retry.
    Exhausted,
}

impl ErrorClass {
    /// Every class.
    pub const ALL: [Self; 6] =
        [Self::Transient, Self::RateLimited, Self::Dependency, Self::Permanent, Self::InvalidPayload, Self::Exhausted];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::RateLimited => "rate_limited",
            Self::Dependency => "dependency",
            Self::Permanent => "permanent",
            Self::InvalidPayload => "invalid_payload",
            Self::Exhausted => "exhausted",
        }
    }

    const fn retries(self) -> bool {
        match self {
            Self::Transient | Self::RateLimited | Self::Dependency => true,
            Self::Permanent | Self::InvalidPayload | Self::Exhausted => false,
        }
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that is no [`ErrorClass`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown error class; use transient, rate_limited, dependency, permanent, invalid_payload or exhausted")]
pub struct UnknownErrorClass;

impl FromStr for ErrorClass {
    type Err = UnknownErrorClass;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|class| class.as_str() == name).ok_or(UnknownErrorClass)
    }
}

/// What the ladder has to know about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its class.
    pub class: ErrorClass,
    /// The pause that the other side asked for.
    pub retry_after: Option<Duration>,
}

/// Where a failed record goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// To a tier, to be tried again.
    Tier {
        /// Index of the tier.
        index: usize,
        /// Which retry it will be; 1 is the first.
        attempt: u32,
        /// When the tier releases it.
        due_at: Timestamp,
    },
    /// To the dead letters.
    Dead {
        /// The class to write down: the failure's own, or [`ErrorClass::Exhausted`].
        class: ErrorClass,
        /// Retries that were made.
        attempt: u32,
    },
}

/// One rung: the delay and how it was written, which is part of the tier's topic name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rung {
    /// As written, `1m`.
    pub label: String,
    /// As meant.
    pub delay: Duration,
}

/// The delays between the tries of a record; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryLadder {
    rungs: Vec<Rung>,
}

/// Why a text is no ladder.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LadderError {
    /// One of the delays.
    #[error(transparent)]
    Delay(#[from] DurationError),
    /// A tier that waits for nothing would spin.
    #[error("`{0}` is no delay; a tier has to wait")]
    Zero(String),
    /// Two tiers would share a topic.
    #[error("`{0}` is listed twice; each delay is one topic")]
    Duplicate(String),
}

impl RetryLadder {
    /// The rungs, in order of use.
    pub fn rungs(&self) -> &[Rung] {
        &self.rungs
    }

    /// Decides what happens to a record that failed at `failed_at` after `attempt_so_far` retries (0: its first try).
    pub fn route(&self, failure: &Failure, attempt_so_far: u32, max_attempts: u32, failed_at: Timestamp) -> Route {
        if !failure.class.retries() {
            return Route::Dead { class: failure.class, attempt: attempt_so_far };
        }
        if attempt_so_far >= max_attempts {
            return Route::Dead { class: ErrorClass::Exhausted, attempt: attempt_so_far };
        }
        let index = self.tier_for(attempt_so_far, failure.retry_after.unwrap_or_default());
        let due_at = self.rungs.get(index).and_then(|rung| failed_at.checked_add(rung.delay).ok());
        Route::Tier { index, attempt: attempt_so_far + 1, due_at: due_at.unwrap_or(Timestamp::MAX) }
    }

    /// The attempt's own tier, or the first one after it that is slow enough for `at_least`. Past the end, the last.
    fn tier_for(&self, attempt_so_far: u32, at_least: Duration) -> usize {
        let last = self.rungs.len().saturating_sub(1);
        let own = usize::try_from(attempt_so_far).map_or(last, |n| n.min(last));
        let slow_enough = self.rungs.iter().skip(own).position(|rung| rung.delay >= at_least);
        slow_enough.map_or(last, |later| own + later)
    }
}

impl Default for RetryLadder {
    /// `1m,5m,15m,30m,60m`
    fn default() -> Self {
        let rung = |minutes: u64| Rung { label: format!("{minutes}m"), delay: Duration::from_secs(minutes * 60) };
        Self { rungs: [1, 5, 15, 30, 60].map(rung).into() }
    }
}

impl FromStr for RetryLadder {
    type Err = LadderError;

    fn from_str(list: &str) -> Result<Self, Self::Err> {
        let mut rungs: Vec<Rung> = Vec::new();
        for label in list.split(',').map(str::trim) {
            let delay = parse_duration(label)?;
            if delay.is_zero() {
                return Err(LadderError::Zero(label.to_owned()));
            }
            if rungs.iter().any(|rung| rung.label == label) {
                return Err(LadderError::Duplicate(label.to_owned()));
            }
            rungs.push(Rung { label: label.to_owned(), delay });
        }
        Ok(Self { rungs })
    }
}

impl fmt::Display for RetryLadder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, rung) in self.rungs.iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            write!(f, "{separator}{}", rung.label)?;
        }
        Ok(())
    }
}
