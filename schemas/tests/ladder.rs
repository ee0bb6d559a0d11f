//! Properties of the retry ladder.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail loudly")]

use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use schemas::{ErrorClass, Failure, RetryLadder, Route, ladder::LadderError};

const RETRIED: [ErrorClass; 3] = [ErrorClass::Transient, ErrorClass::RateLimited, ErrorClass::Dependency];
const DEAD: [ErrorClass; 3] = [ErrorClass::Permanent, ErrorClass::InvalidPayload, ErrorClass::Exhausted];

/// Labels have to be unique, hence the set; their order is the operator's business, hence the shuffle.
fn ladders() -> impl Strategy<Value = RetryLadder> {
    let seconds = prop::collection::btree_set(1u32..10_000, 1..8);
    seconds.prop_map(Vec::from_iter).prop_shuffle().prop_map(|seconds| {
        let labels: Vec<_> = seconds.iter().map(|n| format!("{n}s")).collect();
        labels.join(",").parse().unwrap()
    })
}

fn times() -> impl Strategy<Value = Timestamp> {
    (0i64..4_102_444_800_000_000).prop_map(|micros| Timestamp::from_microsecond(micros).unwrap())
}

fn failures() -> impl Strategy<Value = Failure> {
    let pauses = prop::option::of((0u64..20_000).prop_map(Duration::from_secs));
    (prop::sample::select(&RETRIED[..]), pauses).prop_map(|(class, retry_after)| Failure { class, retry_after })
}

proptest! {
    #[test]
    fn a_retry_waits_for_its_own_tier(
        ladder in ladders(), failure in failures(), so_far in 0u32..12, max in 0u32..12, at in times(),
    ) {
        match ladder.route(&failure, so_far, max, at) {
            Route::Tier { index, attempt, due_at } => {
                prop_assert!(so_far < max);
                prop_assert_eq!(attempt, so_far + 1);
                prop_assert_eq!(due_at, at.checked_add(ladder.rungs()[index].delay).unwrap());
            }
            Route::Dead { class, attempt } => {
                prop_assert!(so_far >= max);
                prop_assert_eq!((class, attempt), (ErrorClass::Exhausted, so_far));
            }
        }
    }

    #[test]
    fn without_retry_after_the_nth_retry_takes_the_nth_tier(ladder in ladders(), so_far in 0u32..12, at in times()) {
        let failure = Failure { class: ErrorClass::Transient, retry_after: None };
        let Route::Tier { index, .. } = ladder.route(&failure, so_far, 20, at) else { panic!("not retried") };
        prop_assert_eq!(index, (so_far as usize).min(ladder.rungs().len() - 1));
    }

    #[test]
    fn retry_after_picks_the_first_later_tier_that_is_slow_enough(
        ladder in ladders(), seconds in 0u64..20_000, so_far in 0u32..12, at in times(),
    ) {
        let pause = Duration::from_secs(seconds);
        let failure = Failure { class: ErrorClass::RateLimited, retry_after: Some(pause) };
        let Route::Tier { index, .. } = ladder.route(&failure, so_far, 20, at) else { panic!("not retried") };
        let last = ladder.rungs().len() - 1;
        let own = (so_far as usize).min(last);
        prop_assert!(index >= own);
        prop_assert!(ladder.rungs()[own..index].iter().all(|rung| rung.delay < pause));
        prop_assert!(index == last || ladder.rungs()[index].delay >= pause);
    }

    #[test]
    fn what_cannot_work_is_dead_at_once(
        ladder in ladders(), class in prop::sample::select(&DEAD[..]), so_far: u32, max: u32, at in times(),
    ) {
        let failure = Failure { class, retry_after: Some(Duration::from_secs(1)) };
        prop_assert_eq!(ladder.route(&failure, so_far, max, at), Route::Dead { class, attempt: so_far });
    }

    #[test]
    fn nothing_overflows(ladder in ladders(), failure in failures(), so_far: u32, max: u32) {
        let route = ladder.route(&failure, so_far, max, Timestamp::MAX);
        if let Route::Tier { due_at, .. } = route {
            prop_assert_eq!(due_at, Timestamp::MAX);
        }
    }

    #[test]
    fn a_ladder_prints_as_it_was_written(ladder in ladders()) {
        prop_assert_eq!(ladder.to_string().parse(), Ok(ladder));
    }
}

#[test]
fn the_default_is_the_contracts() {
    assert_eq!(RetryLadder::default(), "1m,5m,15m,30m,60m".parse().unwrap());
}

#[test]
fn five_retries_of_the_default_ladder_and_then_the_end() {
    let (ladder, at) = (RetryLadder::default(), Timestamp::UNIX_EPOCH);
    let failure = Failure { class: ErrorClass::Transient, retry_after: None };
    let minutes = (0..5).map(|so_far| match ladder.route(&failure, so_far, 5, at) {
        Route::Tier { due_at, .. } => due_at.as_second() / 60,
        Route::Dead { .. } => panic!("dead after {so_far}"),
    });
    assert_eq!(minutes.collect::<Vec<_>>(), [1, 5, 15, 30, 60]);
    assert_eq!(ladder.route(&failure, 5, 5, at), Route::Dead { class: ErrorClass::Exhausted, attempt: 5 });
}

#[test]
fn refuses_what_is_no_ladder() {
    let parse = |list: &str| list.parse::<RetryLadder>();
    for list in ["", ",", "1m,", "1m,,5m", "1m;5m", "5", "one"] {
        assert!(matches!(parse(list), Err(LadderError::Delay(_))), "{list:?}");
    }
    assert_eq!(parse("1m,0s"), Err(LadderError::Zero("0s".to_owned())));
    assert_eq!(parse("1m,5m,1m"), Err(LadderError::Duplicate("1m".to_owned())));
    assert_eq!(parse(" 1m , 60m").unwrap().to_string(), "1m,60m");
}

#[test]
fn error_classes_have_the_contracts_names() {
    let names = ["transient", "rate_limited", "dependency", "permanent", "invalid_payload", "exhausted"];
    assert_eq!(ErrorClass::ALL.map(ErrorClass::as_str), names);
    for class in ErrorClass::ALL {
        assert_eq!(class.as_str().parse(), Ok(class));
    }
    assert!("Transient".parse::<ErrorClass>().is_err());
}
