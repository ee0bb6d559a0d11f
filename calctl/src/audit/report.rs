//! Each accepted event in one place, and those that are in none.

use std::collections::HashSet;

use jiff::Timestamp;
use schemas::handled::Expectation;
use serde::Serialize;
use uuid::Uuid;

use super::accepted::{Accepted, Entry};

/// Where an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    InRetry,
    Dead,
    Applied,
    Waiting,
    Ignored,
    Missing,
}

/// What an audit found: `accepted` is the sum of the others.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    since: Timestamp,
    until: Timestamp,
    /// Different events.
    accepted: usize,
    /// Recorded in the history.
    applied: usize,
    /// For the data teams alone.
    ignored: usize,
    /// Not yet read by the processor.
    waiting: usize,
    /// In a tier, or due, with something left undone.
    in_retry: usize,
    /// In the DLQ, with something left undone.
    dead: usize,
    /// Ids of the events that are nowhere.
    pub(super) missing: Vec<String>,
}

impl Report {
    pub(super) fn new(
        since: Timestamp,
        until: Timestamp,
        accepted: &Accepted,
        recorded: &HashSet<Uuid>,
        settled: &HashSet<Uuid>,
    ) -> Self {
        let mut report = Self { since, until, ..Self::default() };
        for (id, entry) in accepted.iter() {
            report.accepted += 1;
            match place(entry, recorded.contains(&id), settled.contains(&id)) {
                Place::InRetry => report.in_retry += 1,
                Place::Dead => report.dead += 1,
                Place::Applied => report.applied += 1,
                Place::Waiting => report.waiting += 1,
                Place::Ignored => report.ignored += 1,
                Place::Missing => report.missing.push(Accepted::name(id, entry)),
            }
        }
        report.missing.sort_unstable();
        report
    }

    pub(super) fn text(&self) -> String {
        let counts = [
            ("accepted", self.accepted),
            ("applied", self.applied),
            ("ignored", self.ignored),
            ("waiting", self.waiting),
            ("in retry", self.in_retry),
            ("dead", self.dead),
            ("missing", self.missing.len()),
        ];
        let mut lines = vec![format!("accepted from {:.0} until {:.0}", self.since, self.until), String::new()];
        lines.extend(counts.map(|(what, count)| format!("{what:<10}{count}")));
        // An id may come from a foreign header.
        lines.extend(self.missing.iter().map(|id| format!("  {}", id.replace(char::is_control, " "))));
        lines.join("\n")
    }
}

/// A fact is recorded before Stripe is asked, so an event with a fact may still wait or be dead. It counts as applied when
/// nothing is left to do: it is finished and not committed yet, or a replay, a redelivery or the sweeper has done it.
fn place(entry: &Entry, recorded: bool, settled: bool) -> Place {
    match entry.expectation {
        _ if entry.in_retry && !settled => Place::InRetry,
        _ if entry.dead && !settled => Place::Dead,
        _ if recorded => Place::Applied,
        Expectation::Nothing => Place::Ignored,
        _ if entry.unread => Place::Waiting,
        Expectation::Perhaps => Place::Ignored,
        Expectation::Fact => Place::Missing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_in_one_place() {
        use Expectation::{Fact, Nothing, Perhaps};
        // expectation, unread, in retry, dead, recorded, settled
        let table = [
            ((Fact, false, false, false, true, false), Place::Applied),
            ((Fact, true, false, false, true, false), Place::Applied),
            ((Fact, true, false, false, false, false), Place::Waiting),
            ((Fact, false, true, false, true, false), Place::InRetry),
            ((Fact, false, true, true, false, false), Place::InRetry),
            ((Fact, false, true, false, true, true), Place::Applied),
            ((Fact, false, false, true, false, false), Place::Dead),
            ((Fact, false, false, true, true, false), Place::Dead),
            ((Fact, false, false, true, true, true), Place::Applied),
            ((Fact, false, false, false, false, false), Place::Missing),
            ((Perhaps, false, false, false, false, false), Place::Ignored),
            ((Perhaps, true, false, false, false, false), Place::Waiting),
            ((Perhaps, false, false, false, true, false), Place::Applied),
            ((Nothing, true, false, false, false, false), Place::Ignored),
            ((Nothing, false, false, true, false, false), Place::Dead),
        ];
        for ((expectation, unread, in_retry, dead, recorded, settled), expected) in table {
            let entry = Entry::of(expectation, unread, in_retry, dead);
            let found = place(&entry, recorded, settled);
            assert_eq!(found, expected, "{entry:?}, recorded {recorded}, settled {settled}");
        }
    }
}
