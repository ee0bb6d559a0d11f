//! `--since` and `--until`: a time, or how long ago it was.

use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use schemas::duration::{DurationError, parse_duration};

/// A moment of the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment(pub(crate) Timestamp);

/// A text that is no moment.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MomentError {
    #[error("{0}; or give a time such as 2026-01-02T03:04:05Z")]
    Duration(#[from] DurationError),
    #[error("that is longer ago than there are times")]
    TooLong,
}

impl Moment {
    /// The moment that is `hours` before now.
    pub(crate) fn hours_ago(hours: i64) -> Self {
        Self(Timestamp::now() - SignedDuration::from_hours(hours))
    }
}

impl FromStr for Moment {
    type Err = MomentError;

    fn from_str(text: &str) -> Result<Self, MomentError> {
        if let Ok(time) = text.parse() {
            return Ok(Self(time));
        }
        let ago = parse_duration(text)?;
        Timestamp::now().checked_sub(ago).map(Self).map_err(|_| MomentError::TooLong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_durations() {
        let time: Moment = "2026-01-02T03:04:05Z".parse().unwrap();
        assert_eq!(time.0.to_string(), "2026-01-02T03:04:05Z");
        let ago: Moment = "1h".parse().unwrap();
        let seconds = Timestamp::now().duration_since(ago.0).as_secs();
        assert!((3600..3660).contains(&seconds), "{seconds}");
        for wrong in ["", "1", "yesterday", "1d", "99999999999h"] {
            assert!(wrong.parse::<Moment>().is_err(), "{wrong}");
        }
    }
}
