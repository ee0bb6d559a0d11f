//! The marks that a dead letter carries when an operator hands it back.
//!
//! They are foreign headers to the services, which pass those on. So a letter that dies once more tells in the DLQ how
//! often it has been back already, and the topic that it went to tells which letters went there: nothing else has to
//! remember what a replay has done.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;

use crate::headers::{Headers, MAX_TEXT, ascii};

/// Who handed it back.
pub const REPLAYED_BY: &str = "replayed-by";
/// When.
pub const REPLAYED_AT: &str = "replayed-at";
/// Which dead letter it was, see [`LetterId`].
pub const REPLAYED_FROM: &str = "replayed-from";
/// How often it has been handed back by now.
pub const REPLAY_COUNT: &str = "replay-count";

const NAMES: [&str; 4] = [REPLAYED_BY, REPLAYED_AT, REPLAYED_FROM, REPLAY_COUNT];

/// One record of the DLQ: its place, and when it was written, so that it stays itself when a topic is made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LetterId {
    /// Partition of the DLQ.
    pub partition: i32,
    /// Offset in it.
    pub offset: i64,
    /// Milliseconds since 1970.
    pub written: i64,
}

impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.partition, self.offset, self.written)
    }
}

/// A text that names no dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a dead letter's partition/offset/milliseconds")]
pub struct NoLetterId;

impl FromStr for LetterId {
    type Err = NoLetterId;

    fn from_str(text: &str) -> Result<Self, NoLetterId> {
        let mut parts = text.splitn(3, '/');
        let mut part = || parts.next().ok_or(NoLetterId);
        let (partition, offset, written) = (part()?, part()?, part()?);
        let number = |text: &str| text.parse::<i64>().map_err(|_| NoLetterId);
        let partition = partition.parse().map_err(|_| NoLetterId)?;
        Ok(Self { partition, offset: number(offset)?, written: number(written)? })
    }
}

/// The marks of one replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// Who handed it back.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Which dead letter it was.
    pub from: LetterId,
    /// How often it has been handed back, this time included.
    pub count: u32,
}

impl Replay {
    /// The marks among a record's headers; `None` when it was never handed back, or when they are garbled.
    pub fn of(headers: &Headers) -> Option<Self> {
        Some(Self {
            by: text(headers, REPLAYED_BY)?.to_owned(),
            at: text(headers, REPLAYED_AT)?.parse().ok()?,
            from: text(headers, REPLAYED_FROM)?.parse().ok()?,
            count: text(headers, REPLAY_COUNT)?.parse().ok()?,
        })
    }

    /// The headers of a dead letter that goes back: marked, and at the beginning of its ladder.
    ///
    /// The retry headers stay, as on every record of the due topic, but for the attempt: 0 is a first try. So it has all
    /// of its retries before it, and when it dies again, the DLQ still tells where it came from and when it first failed.
    #[must_use]
    pub fn mark(&self, mut headers: Headers) -> Headers {
        if let Some(retry) = &mut headers.retry {
            retry.attempt = 0;
            retry.due_at = self.at;
        }
        headers.other.retain(|(name, _)| !NAMES.contains(&name.as_str()));
        // First: when there is no room for all foreign headers, it is the last ones that go.
        headers.other.splice(0..0, self.pairs());
        headers
    }

    fn pairs(&self) -> [(String, Vec<u8>); 4] {
        let values = [
            ascii(&self.by, MAX_TEXT).into_owned(),
            format!("{:.6}", self.at),
            self.from.to_string(),
            self.count.to_string(),
        ];
        let mut values = values.map(String::into_bytes).into_iter();
        NAMES.map(|name| (name.to_owned(), values.next().unwrap_or_default()))
    }
}

fn text<'a>(headers: &'a Headers, wanted: &str) -> Option<&'a str> {
    let (_, value) = headers.other.iter().find(|(name, _)| name == wanted)?;
    str::from_utf8(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::headers::{MAX_OTHER, RetryHeaders};
    use crate::ladder::{ErrorClass, Failure, RetryLadder, Route};

    fn replay(count: u32) -> Replay {
        let from = LetterId { partition: 3, offset: 17, written: 1_700_000_000_123 };
        Replay { by: "ada@ops".to_owned(), at: "2026-01-02T03:04:05.678901Z".parse().unwrap(), from, count }
    }

    fn dead() -> Headers {
        let at = Timestamp::UNIX_EPOCH;
        let retry = RetryHeaders {
            attempt: 5,
            due_at: at,
            first_failed_at: at,
            failed_at: at,
            error_class: ErrorClass::Exhausted,
            error: "x".to_owned(),
            origin_topic: "stripe.events".to_owned(),
            origin_partition: 1,
            origin_offset: 2,
        };
        Headers { retry: Some(retry), ..Headers::default() }
    }

    /// What the services do to a record's headers on each hop.
    fn hop(headers: &Headers) -> Headers {
        let pairs = headers.to_pairs();
        Headers::parse(pairs.iter().map(|(name, value)| (*name, &**value)))
    }

    #[test]
    fn a_backfilled_event_that_is_replayed_is_an_operators_word() {
        let backfilled = Headers::backfilled();
        assert!(backfilled.is_routine() && !Headers::default().is_routine());
        let replayed = replay(1).mark(hop(&backfilled));
        assert!(!replayed.is_routine() && !hop(&replayed).is_routine());
    }

    #[test]
    fn the_marks_travel_and_are_replaced_by_the_next_ones() {
        let once = hop(&hop(&replay(1).mark(dead())));
        assert_eq!(Replay::of(&once), Some(replay(1)));
        let twice = hop(&replay(2).mark(once));
        assert_eq!(Replay::of(&twice), Some(replay(2)));
        assert_eq!(twice.other.len(), 4);
        assert_eq!(Replay::of(&dead()), None);
    }

    #[test]
    fn the_marks_come_before_the_foreign_headers_that_are_too_many() {
        let mut headers = dead();
        headers.other = (0..MAX_OTHER).map(|n| (format!("x-{n}"), b"v".to_vec())).collect();
        assert_eq!(Replay::of(&hop(&replay(1).mark(headers))), Some(replay(1)));
    }

    #[test]
    fn the_ladder_begins_anew_and_the_origin_stays() {
        let retry = hop(&replay(1).mark(dead())).retry.unwrap();
        assert_eq!((retry.attempt, retry.origin_topic.as_str(), retry.origin_offset), (0, "stripe.events", 2));
        let failure = Failure { class: ErrorClass::Transient, retry_after: None };
        let route = RetryLadder::default().route(&failure, retry.attempt, 5, Timestamp::UNIX_EPOCH);
        assert!(matches!(route, Route::Tier { index: 0, attempt: 1, .. }), "{route:?}");
    }

    #[test]
    fn a_letter_is_named_by_three_numbers() {
        let id = replay(1).from;
        assert_eq!(id.to_string().parse(), Ok(id));
        for garbled in ["", "1", "1/2", "1/2/x", "1/2/3/4", "a/2/3"] {
            assert_eq!(garbled.parse::<LetterId>(), Err(NoLetterId), "{garbled}");
        }
    }
}
