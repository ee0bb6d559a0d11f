//! Of which time deliveries may be missing, as far as subscriptions tell. Pure.

use std::collections::BTreeSet;

use calendly::{Ensured, Gap, Subscription};
use jiff::{SignedDuration, Timestamp};

/// After so long of failures Calendly disables a subscription.
const GIVEN_UP_AFTER: SignedDuration = SignedDuration::from_hours(24);
/// What is longer ago is not fetched by itself: whoever left a disabled subscription lying about for a year does not wait
/// for its bookings.
pub(super) const LONGEST: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What this process remembers.
#[derive(Default)]
pub(super) struct Past {
    /// The right subscription of the last look that found one.
    last: Option<Seen>,
    /// Disabled ones whose gaps are filled; they are there still since they could not be deleted.
    filled: BTreeSet<String>,
}

struct Seen {
    uri: String,
    /// Until then, what it had to deliver has come or is still being tried.
    well_until: Timestamp,
}

impl Past {
    /// The gap that a look shows. `look_back` is how far to go when nothing tells where it begins.
    pub(super) fn gap(&self, ensured: &Ensured, look_back: SignedDuration, now: Timestamp) -> Option<Gap> {
        let current = ensured.subscription.as_ref();
        let open = ensured.kept.iter().filter(|one| !self.filled.contains(&one.uri));
        let marked = open.map(|one| failing_since(one).unwrap_or_else(|| before(now, look_back)));
        let unseen = current.and_then(|one| self.before(one, look_back, now));
        let since = marked.chain(unseen).min()?.max(before(now, LONGEST));
        let until = current.and_then(|one| one.created_at).unwrap_or(now).max(since);
        Some(Gap { since, until }.widened())
    }

    /// Since when nothing is known to have been delivered before this subscription was there.
    fn before(&self, current: &Subscription, look_back: SignedDuration, now: Timestamp) -> Option<Timestamp> {
        match &self.last {
            Some(last) if last.uri == current.uri => None,
            Some(last) => Some(last.well_until),
            // The first look of this process. A subscription that is young may have been made by one that did not get to
            // fetching; one that is old was there all the time.
            None => {
                let made = current.created_at?;
                (before(now, look_back) < made).then(|| before(made, look_back))
            }
        }
    }

    /// Remembers a look.
    pub(super) fn saw(&mut self, ensured: &Ensured, now: Timestamp) {
        if let Some(one) = &ensured.subscription {
            let well_until = one.retry_started_at.unwrap_or(now);
            self.last = Some(Seen { uri: one.uri.clone(), well_until });
        }
        self.filled.retain(|uri| ensured.kept.iter().any(|one| one.uri == *uri));
    }

    /// What happened before `until` is published.
    pub(super) fn filled(&mut self, ensured: &Ensured, until: Timestamp) {
        self.filled = ensured.kept.iter().map(|one| one.uri.clone()).collect();
        if ensured.subscription.is_none() {
            // None is right yet: what is missing when there is one begins here.
            self.last = Some(Seen { uri: String::new(), well_until: until });
        }
    }
}

/// When a disabled subscription began to fail, as far as Calendly says.
fn failing_since(disabled: &Subscription) -> Option<Timestamp> {
    disabled.retry_started_at.or_else(|| disabled.updated_at.map(|at| before(at, GIVEN_UP_AFTER)))
}

fn before(time: Timestamp, long: SignedDuration) -> Timestamp {
    time.checked_sub(long).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use calendly::Outcome;
    use serde_json::json;

    use super::*;

    const HOUR: SignedDuration = SignedDuration::from_hours(1);
    const LOOK_BACK: SignedDuration = SignedDuration::from_hours(25);
    const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

    fn one(uri: &str, made: Option<i64>, failing: Option<i64>, updated: Option<i64>) -> Subscription {
        let time = |ago: Option<i64>| ago.map(|hours| (NOW - HOUR * i32::try_from(hours).unwrap()).to_string());
        let value = json!({
            "uri": uri, "callback_url": "https://a", "state": "active", "created_at": time(made),
            "retry_started_at": time(failing), "updated_at": time(updated),
        });
        serde_json::from_value(value).unwrap()
    }

    fn ensured(subscription: Option<Subscription>, kept: Vec<Subscription>) -> Ensured {
        Ensured { outcome: Outcome::Replaced, subscription, kept, deleted: Vec::new(), left: Vec::new() }
    }

    /// In hours before now, without the margin of an hour at both ends.
    fn hours(past: &Past, ensured: &Ensured) -> Option<(i64, i64)> {
        let gap = past.gap(ensured, LOOK_BACK, NOW)?;
        Some((NOW.duration_since(gap.since).as_hours() - 1, NOW.duration_since(gap.until).as_hours() + 1))
    }

    #[test]
    fn a_disabled_one_tells_when_it_began_to_fail() {
        let past = Past::default();
        let new = || Some(one("new", Some(0), None, None));
        // Established ones and their like.
        assert_eq!(hours(&past, &ensured(Some(one("a", Some(30), None, None)), vec![])), None);
        assert_eq!(hours(&past, &ensured(Some(one("a", None, None, None)), vec![])), None);
        let old = one("old", Some(900), Some(40), Some(16));
        assert_eq!(hours(&past, &ensured(new(), vec![old])), Some((40, 0)));
        let silent = one("old", Some(900), None, Some(16));
        assert_eq!(hours(&past, &ensured(new(), vec![silent.clone()])), Some((40, 0)));
        assert_eq!(hours(&past, &ensured(new(), vec![one("old", None, None, None)])), Some((25, 0)));
        let ancient = one("old", None, Some(5000), None);
        assert_eq!(hours(&past, &ensured(new(), vec![ancient, silent])), Some((30 * 24, 0)));
        // Nothing can be made before it goes.
        let old = one("old", Some(900), Some(40), Some(16));
        assert_eq!(hours(&past, &ensured(None, vec![old])), Some((40, 0)));
    }

    #[test]
    fn one_that_is_young_may_have_a_gap_before_it() {
        let young = ensured(Some(one("a", Some(3), None, None)), vec![]);
        let mut past = Past::default();
        assert_eq!(hours(&past, &young), Some((28, 3)));
        past.saw(&young, NOW);
        assert_eq!(hours(&past, &young), None, "it is told once");
    }

    #[test]
    fn what_was_seen_to_work_is_not_fetched() {
        let mut past = Past::default();
        past.saw(&ensured(Some(one("a", Some(500), None, None)), vec![]), NOW - HOUR * 2);
        let next = ensured(Some(one("b", Some(1), None, None)), vec![]);
        assert_eq!(hours(&past, &next), Some((2, 1)));
        past.saw(&ensured(Some(one("a", Some(500), Some(9), None)), vec![]), NOW - HOUR);
        assert_eq!(hours(&past, &next), Some((9, 1)), "it had been failing");
    }

    #[test]
    fn what_is_filled_is_not_filled_again() {
        let mut past = Past::default();
        let old = || one("old", Some(900), Some(40), Some(16));
        let blocked = ensured(None, vec![old()]);
        past.filled(&blocked, NOW - HOUR);
        let unblocked = ensured(Some(one("new", Some(0), None, None)), vec![]);
        assert_eq!(hours(&past, &unblocked), Some((1, 0)), "only what came since");

        let undeletable = ensured(Some(one("new", Some(0), None, None)), vec![old()]);
        let mut past = Past::default();
        assert_eq!(hours(&past, &undeletable), Some((40, 0)));
        past.saw(&undeletable, NOW);
        past.filled(&undeletable, NOW);
        assert_eq!(hours(&past, &undeletable), None);
        past.saw(&ensured(Some(one("new", Some(0), None, None)), vec![]), NOW);
        assert_eq!(hours(&past, &undeletable), Some((40, 0)), "another one of that name");
    }
}
