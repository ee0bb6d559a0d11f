use proptest::prelude::*;

use super::*;

const WORKS: Evidence = Evidence::Works { asked_stripe: true };
const STRIPE_FAILS: Evidence = Evidence::Fails(Cause::Stripe);

fn stopped_by_stripe(now: Instant) -> State {
    let mut state = State::default();
    let turns: Vec<_> = (0..32).map(|record| state.observe(record, STRIPE_FAILS, now).1).collect();
    assert!(turns.iter().rev().skip(1).all(Option::is_none), "31 are not enough");
    assert_eq!(turns.last(), Some(&Some(Turn::Opened(Cause::Stripe))));
    state
}

fn admitted(state: &mut State, now: Instant) -> bool {
    state.admit(now) == Admission::Granted
}

#[test]
fn one_record_that_fails_again_and_again_stops_nobody() {
    let (mut state, now) = (State::default(), Instant::now());
    for _ in 0..200 {
        assert_eq!(state.observe(1, STRIPE_FAILS, now), (Verdict::Counts, None));
    }
    assert!(admitted(&mut state, now));
}

#[test]
fn a_few_stop_the_others_when_they_fail_again() {
    let (mut state, now) = (State::default(), Instant::now());
    let mut turns: Vec<_> = (0..5).chain(0..5).map(|record| state.observe(record, STRIPE_FAILS, now).1).collect();
    assert_eq!(turns.pop(), Some(Some(Turn::Opened(Cause::Stripe))));
    assert!(turns.iter().all(Option::is_none));
    // Fewer do not, however often.
    let mut state = State::default();
    assert!((0..100).all(|turn| state.observe(turn % 4, STRIPE_FAILS, now).1.is_none()));
}

#[test]
fn failures_among_more_successes_stop_nobody() {
    let (mut state, now) = (State::default(), Instant::now());
    for record in 2..500 {
        let evidence = if record % 5 < 2 { STRIPE_FAILS } else { WORKS };
        assert_eq!(state.observe(record, evidence, now).1, None);
    }
}

#[test]
fn bad_records_are_dead_one_by_one_until_they_are_very_many() {
    let (mut state, now) = (State::default(), Instant::now());
    for record in 0..49 {
        assert_eq!(state.observe(record, Evidence::Fails(Cause::Release), now), (Verdict::Counts, None));
    }
    assert_eq!(state.observe(49, Evidence::Fails(Cause::Release), now).1, Some(Turn::Opened(Cause::Release)));
    // Each probe that fails is dead: what waits behind bad records is reached in the end.
    let later = now + FIRST_PAUSE;
    assert!(!admitted(&mut state, now) && admitted(&mut state, later));
    assert_eq!(state.observe(50, Evidence::Fails(Cause::Release), later), (Verdict::Counts, None));
}

#[test]
fn probes_go_one_at_a_time_and_less_and_less_often() {
    let now = Instant::now();
    let mut state = stopped_by_stripe(now);
    let mut at = now;
    for pause in [1, 1, 2, 4, 8, 16, 30, 30] {
        let due = at + Duration::from_secs(pause);
        assert_eq!(state.admit(due.checked_sub(Duration::from_millis(1)).unwrap()), Admission::Later(due));
        assert!(admitted(&mut state, due));
        assert!(!admitted(&mut state, due), "one at a time");
        assert_eq!(state.observe(9, STRIPE_FAILS, due), (Verdict::Waits, None));
        at = due;
    }
}

#[test]
fn three_good_probes_let_everybody_go_on() {
    let now = Instant::now();
    let mut state = stopped_by_stripe(now);
    let later = now + FIRST_PAUSE;
    for turn in [None, None, Some(Turn::Closed(Cause::Stripe))] {
        assert!(admitted(&mut state, later));
        assert_eq!(state.observe(9, WORKS, later), (Verdict::Counts, turn));
    }
    assert!(admitted(&mut state, later) && admitted(&mut state, later));
    // What failed before is forgotten: it takes as many again to stop.
    assert_eq!(state.observe(9, STRIPE_FAILS, later).1, None);
}

/// A free booking says nothing about Stripe. It goes through, and the next may try at once.
#[test]
fn what_did_not_need_stripe_does_not_clear_it() {
    let now = Instant::now();
    let mut state = stopped_by_stripe(now);
    let later = now + FIRST_PAUSE;
    for record in 0..20 {
        assert!(admitted(&mut state, later));
        assert_eq!(state.observe(record, Evidence::Works { asked_stripe: false }, later), (Verdict::Counts, None));
    }
    assert_eq!(state.cause(), Some(Cause::Stripe));
}

#[test]
fn a_probe_that_went_away_is_replaced() {
    let now = Instant::now();
    let mut state = stopped_by_stripe(now);
    assert!(admitted(&mut state, now + FIRST_PAUSE));
    assert!(!admitted(&mut state, now + Duration::from_secs(50)));
    assert!(admitted(&mut state, now + FIRST_PAUSE + PROBE_LOST));
}

/// Free bookings, other products' events, webhooks that only tell: most events never ask Stripe. That they succeed says
/// nothing about it, neither when it is to be held back nor when it may go on.
#[test]
fn what_did_not_need_stripe_does_not_hide_that_it_is_away() {
    let (mut state, now) = (State::default(), Instant::now());
    let mut turns = Vec::new();
    for record in 0..320 {
        let evidence = if record % 10 == 0 { STRIPE_FAILS } else { Evidence::Works { asked_stripe: false } };
        turns.extend(state.observe(record, evidence, now).1);
    }
    assert_eq!(turns, [Turn::Opened(Cause::Stripe)]);
}

/// The network is gone: first Stripe, then the database. Nothing of what fails now is a record's own fault.
#[test]
fn a_second_outage_does_not_set_the_records_going() {
    let mut now = Instant::now();
    let mut state = stopped_by_stripe(now);
    let mut probes = 0;
    for _ in 0..600 {
        now += Duration::from_secs(1);
        if admitted(&mut state, now) {
            probes += 1;
            assert_eq!(state.observe(9, Evidence::Fails(Cause::Database), now), (Verdict::Waits, None));
        }
    }
    assert!((10..40).contains(&probes), "{probes} probes in ten minutes");
    for _ in 0..3 {
        now += LONGEST_PAUSE;
        assert!(admitted(&mut state, now));
        state.observe(9, WORKS, now);
    }
    assert_eq!(state.cause(), None);
}

/// After an outage every answer is a refusal: the wrong account's key, say. The DLQ does not get them all at once.
#[test]
fn unusable_probes_come_less_and_less_often_too() {
    let mut now = Instant::now();
    let mut state = stopped_by_stripe(now);
    let mut dead = 0;
    for record in 0..600 {
        now += Duration::from_secs(1);
        if admitted(&mut state, now) {
            dead += 1;
            assert_eq!(state.observe(record, Evidence::Fails(Cause::Release), now), (Verdict::Counts, None));
        }
    }
    assert!(dead < 40, "{dead} dead in ten minutes");
}

proptest! {
    /// Whatever is observed, a record that asks often enough is let in within the longest pause of a lost probe.
    #[test]
    fn nobody_waits_for_ever(observed in prop::collection::vec((0..9_u64, 0..6_u8), 0..200)) {
        let (mut state, mut now) = (State::default(), Instant::now());
        for (record, what) in observed {
            now += Duration::from_millis(100);
            let evidence = match what {
                0 => WORKS,
                1 => Evidence::Works { asked_stripe: false },
                2 => STRIPE_FAILS,
                3 => Evidence::Fails(Cause::Database),
                4 => Evidence::Fails(Cause::Release),
                _ => Evidence::Nothing,
            };
            state.admit(now);
            state.observe(record, evidence, now);
        }
        prop_assert!(admitted(&mut state, now + PROBE_LOST + LONGEST_PAUSE));
    }
}
