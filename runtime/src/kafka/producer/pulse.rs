//! Whether a producer delivers, judged by its delivery reports alone: nothing sent, nothing known.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How far apart two examinations are at least. Brokers that have just come back must get time to be found again.
const APART: Duration = Duration::from_secs(2);
/// Examinations in a row, with nothing delivered in between, in which the brokers must have been well.
const ENOUGH: u32 = 2;
/// The pause after a replacement, doubled for each that did not help.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

#[derive(Debug, Default)]
struct State {
    /// Examinations since the last delivery in which the brokers were well.
    well: u32,
    replacements: u32,
    examining: bool,
    not_before: Option<Instant>,
}

#[derive(Debug, Default)]
pub(super) struct Pulse {
    state: Mutex<State>,
}

impl Pulse {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The brokers answered.
    pub(super) fn beat(&self) {
        let mut state = self.lock();
        (state.well, state.replacements, state.not_before) = (0, 0, None);
    }

    /// A send failed. True when the client is to be examined now.
    pub(super) fn missed(&self) -> bool {
        self.missed_at(Instant::now())
    }

    /// An examination is over, and found the brokers well or not. True when the client is to be replaced.
    pub(super) fn examined(&self, well: bool) -> bool {
        self.examined_at(well, Instant::now())
    }

    fn missed_at(&self, now: Instant) -> bool {
        let mut state = self.lock();
        let examine = !state.examining && state.not_before.is_none_or(|moment| now >= moment);
        state.examining |= examine;
        examine
    }

    fn examined_at(&self, well: bool, now: Instant) -> bool {
        let mut state = self.lock();
        state.examining = false;
        state.well = if well { state.well + 1 } else { 0 };
        let replace = state.well >= ENOUGH;
        let pause = if replace {
            state.well = 0;
            state.replacements += 1;
            FIRST_PAUSE.saturating_mul(1 << (state.replacements - 1).min(10)).min(LONGEST_PAUSE)
        } else {
            APART
        };
        state.not_before = Some(now + pause);
        replace
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends fail without end; how often the client is replaced within the time, given how the brokers are.
    fn replacements(pulse: &Pulse, well: bool, time: Duration) -> usize {
        let start = Instant::now();
        let moments = (0..).map(|n| start + n * Duration::from_millis(100)).take_while(|at| *at < start + time);
        moments.filter(|at| pulse.missed_at(*at) && pulse.examined_at(well, *at)).count()
    }

    #[test]
    fn replaced_soon_when_the_brokers_are_well_and_then_ever_more_rarely() {
        assert_eq!(replacements(&Pulse::default(), true, Duration::from_secs(3)), 1);
        // At 2, 14, 36, 78, 160, 322 s, and then every 302 s.
        assert_eq!(replacements(&Pulse::default(), true, Duration::from_hours(1)), 6 + 10);
    }

    #[test]
    fn brokers_that_are_away_are_no_reason() {
        assert_eq!(replacements(&Pulse::default(), false, Duration::from_hours(1)), 0);
    }

    #[test]
    fn a_delivery_in_between_clears_the_client() {
        let (pulse, now) = (Pulse::default(), Instant::now());
        assert!(pulse.missed_at(now));
        assert!(!pulse.missed_at(now), "one examination at a time");
        assert!(!pulse.examined_at(true, now));
        assert!(!pulse.missed_at(now + APART / 2));
        pulse.beat();
        assert!(pulse.missed_at(now));
        assert!(!pulse.examined_at(true, now));
        assert!(pulse.missed_at(now + APART));
        assert!(pulse.examined_at(true, now + APART));
    }
}
