//! When to stop and when to go on: a pure state machine. Time is passed in.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Tries that count as recent.
const WINDOW: usize = 64;
/// So many different records that fail at once are an outage. A hiccup that fails fewer is what the tiers are for.
const MANY_RECORDS: usize = 32;
/// So few are one when they have failed again, after their tier's delay. Still fewer may be at fault themselves.
const FEW_RECORDS: usize = 5;
/// What is wrong with a record itself is wrong with that record alone, until it is said of very many.
const MANY_UNUSABLE: usize = 50;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A probe that is not heard of for so long went away with its partition.
const PROBE_LOST: Duration = Duration::from_mins(1);
/// Probes that have to succeed before everybody may go on.
const GOOD_PROBES: u32 = 3;

/// Whose fault a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Stripe is away, failing, limiting or refusing our key.
    Stripe,
    /// PostgreSQL is away.
    Database,
    /// The schema registry is away, and records name schemas that only it knows.
    Registry,
    /// The records are not what this release takes, or it breaks on them.
    Release,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 4] = [Self::Stripe, Self::Database, Self::Registry, Self::Release];

    /// As metrics and logs write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stripe => "stripe",
            Self::Database => "postgres",
            Self::Registry => "registry",
            Self::Release => "release",
        }
    }
}

/// What a try showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// It worked, with or without a word from Stripe.
    Works {
        /// Stripe was asked.
        asked_stripe: bool,
    },
    /// It failed.
    Fails(Cause),
    /// It failed for a reason that says nothing about others.
    Nothing,
}

impl Evidence {
    /// Whether it shows that what had failed works again.
    fn clears(self, cause: Cause) -> bool {
        match (self, cause) {
            (Self::Works { asked_stripe }, Cause::Stripe) => asked_stripe,
            // The registry is asked before the database, and the database before Stripe.
            (Self::Works { .. }, Cause::Database | Cause::Registry | Cause::Release)
            | (Self::Fails(Cause::Stripe), Cause::Database | Cause::Registry)
            | (Self::Fails(Cause::Database), Cause::Registry) => true,
            (Self::Fails(_) | Self::Nothing, _) => false,
        }
    }
}

/// What changed with an observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Opened(Cause),
    Closed(Cause),
}

/// What to do with the record that was observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its failure is its own: it moves on, to a tier or to the DLQ.
    Counts,
    /// It failed of what stopped everything: it stays where it is and waits for its next turn, uncounted.
    Waits,
}

/// Whether a record may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Granted,
    /// Not before this moment.
    Later(Instant),
}

#[derive(Clone, Copy, Debug)]
struct Stopped {
    cause: Cause,
    pause: Duration,
    next_probe: Instant,
    probing: bool,
    good: u32,
}

/// The state.
#[derive(Debug, Default)]
pub(super) struct State {
    /// By cause: records of late that tell something about it, and whether they failed of it. A free booking says
    /// nothing about Stripe, so however many there are, they do not hide that Stripe is away.
    recent: HashMap<Cause, VecDeque<(u64, bool)>>,
    stopped: Option<Stopped>,
}

impl State {
    pub(super) fn cause(&self) -> Option<Cause> {
        self.stopped.map(|stopped| stopped.cause)
    }

    /// Asks for leave to begin. While stopped, one record at a time has it: the probe.
    pub(super) fn admit(&mut self, now: Instant) -> Admission {
        let Some(stopped) = &mut self.stopped else { return Admission::Granted };
        if now < stopped.next_probe {
            return Admission::Later(stopped.next_probe);
        }
        stopped.probing = true;
        stopped.next_probe = now + PROBE_LOST;
        Admission::Granted
    }

    /// Takes note of what a try of the record showed.
    pub(super) fn observe(&mut self, record: u64, evidence: Evidence, now: Instant) -> (Verdict, Option<Turn>) {
        match self.stopped {
            None => (Verdict::Counts, self.observe_running(record, evidence, now)),
            Some(stopped) => self.observe_stopped(stopped, evidence, now),
        }
    }

    fn observe_running(&mut self, record: u64, evidence: Evidence, now: Instant) -> Option<Turn> {
        for cause in Cause::ALL {
            let failed = evidence == Evidence::Fails(cause);
            if failed || evidence.clears(cause) {
                let recent = self.recent.entry(cause).or_default();
                recent.push_back((record, failed));
                if recent.len() > WINDOW {
                    recent.pop_front();
                }
            }
        }
        let Evidence::Fails(cause) = evidence else { return None };
        if !self.is_common(cause) {
            return None;
        }
        let next_probe = now + FIRST_PAUSE;
        self.stopped = Some(Stopped { cause, pause: FIRST_PAUSE, next_probe, probing: false, good: 0 });
        Some(Turn::Opened(cause))
    }

    /// Most of the records of late failed of this, by the last that is known of each, and they are enough to tell.
    fn is_common(&self, cause: Cause) -> bool {
        let recent = || self.recent.get(&cause).into_iter().flatten().copied();
        let last: HashMap<u64, bool> = recent().collect();
        let failed = last.values().filter(|failed| **failed).count();
        let tries = recent().filter(|(_, failed)| *failed).count();
        let is_enough = match cause {
            Cause::Stripe | Cause::Database | Cause::Registry => {
                failed >= MANY_RECORDS || (failed >= FEW_RECORDS && tries >= 2 * failed)
            }
            Cause::Release => failed >= MANY_UNUSABLE,
        };
        is_enough && failed * 2 > last.len()
    }

    fn observe_stopped(&mut self, stopped: Stopped, evidence: Evidence, now: Instant) -> (Verdict, Option<Turn>) {
        let mut next = stopped;
        if evidence.clears(stopped.cause) {
            next.good += 1;
            if next.good >= GOOD_PROBES {
                *self = Self::default();
                return (Verdict::Counts, Some(Turn::Closed(stopped.cause)));
            }
            next.next_probe = now;
        } else if stopped.probing && matches!(evidence, Evidence::Fails(_)) {
            // Of whatever it failed: most likely the next one fails of the same.
            next.good = 0;
            next.pause = (stopped.pause * 2).min(LONGEST_PAUSE);
            next.next_probe = now + stopped.pause;
        } else if stopped.probing {
            // Neither good nor bad for what we wait for, so the next one may try at once.
            next.next_probe = now;
        }
        // Else: a record that was under way when it stopped. It tells nothing new.
        next.probing = false;
        self.stopped = Some(next);
        // That a dependency is away, this one or by now another, is no record's own fault. What this release cannot read
        // stays unread; kept back, such records would block the rest for good.
        let is_outage = matches!(evidence, Evidence::Fails(Cause::Stripe | Cause::Database | Cause::Registry));
        let waits = is_outage && !evidence.clears(stopped.cause);
        (if waits { Verdict::Waits } else { Verdict::Counts }, None)
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
