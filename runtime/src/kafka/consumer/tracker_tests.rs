use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn tracker(finished_before: Vec<Range<i64>>) -> Tracker {
    Tracker::new("topic".into(), 0, finished_before)
}

fn mark(tracker: &mut Tracker) -> Option<i64> {
    tracker.take_commit().map(|(mark, _)| mark)
}

#[test]
fn commits_only_the_contiguous_prefix() {
    let mut tracker = tracker(Vec::new());
    for offset in [5, 6, 8, 9] {
        assert!(tracker.start(offset, None));
    }
    assert_eq!(mark(&mut tracker), Some(5), "where the assignment began");
    tracker.finish(6);
    tracker.finish(9);
    assert_eq!(tracker.low_water(), Some(5));
    tracker.finish(5);
    assert_eq!(mark(&mut tracker), Some(8));
    assert_eq!(mark(&mut tracker), None, "nothing changed");
    tracker.finish(8);
    assert_eq!(tracker.take_commit(), Some((10, String::new())));
    assert_eq!(tracker.span(), 0);
}

#[test]
fn a_failed_commit_is_made_again() {
    let mut tracker = tracker(Vec::new());
    tracker.forget_commit();
    assert_eq!(tracker.take_commit(), None, "there is nothing to commit yet");
    tracker.start(5, None);
    assert_eq!(mark(&mut tracker), Some(5));
    tracker.forget_commit();
    assert_eq!(mark(&mut tracker), Some(5));
}

#[test]
fn what_an_earlier_assignment_finished_is_passed_over_and_stays_in_the_commit() {
    let mut tracker = tracker(vec![6..8, 20..30]);
    let taken: Vec<i64> = (5..10).filter(|offset| tracker.start(*offset, None)).collect();
    assert_eq!(taken, [5, 8, 9]);
    tracker.finish(9);
    let (mark, text) = tracker.take_commit().unwrap();
    assert_eq!((mark, marks::decode(&text, 5)), (5, vec![6..8, 9..10, 20..30]));
    tracker.finish(5);
    assert_eq!(tracker.low_water(), Some(8));
}

#[test]
fn reading_that_goes_back_is_told() {
    let mut tracker = tracker(Vec::new());
    tracker.start(5, None);
    assert!(tracker.rewinds_at(5));
    assert!(!tracker.rewinds_at(6));
}

proptest! {
    /// Crash after crash, with any order of finishing: no record is lost, and what a commit told is not repeated.
    #[test]
    fn crashes_lose_nothing_and_repeat_only_what_was_not_committed(
        gaps in prop::collection::vec(1_i64..4, 1..60),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
        lives in 1_usize..5,
    ) {
        let offsets: Vec<i64> = gaps.iter().scan(100, |at, gap| { *at += gap; Some(*at) }).collect();
        let (mut committed, mut text) = (offsets[0], String::new());
        let mut told: BTreeSet<i64> = BTreeSet::new();
        for life in 0..lives {
            let mut tracker = tracker(marks::decode(&text, committed));
            let taken: Vec<i64> = offsets.iter().copied().filter(|o| *o >= committed && tracker.start(*o, None)).collect();
            let expected: Vec<i64> = offsets.iter().copied().filter(|o| !told.contains(o)).collect();
            prop_assert_eq!(&taken, &expected);
            let last = life + 1 == lives;
            let finishing: BTreeSet<i64> =
                if last { taken.iter().copied().collect() }
                else { picks.iter().filter(|_| !taken.is_empty()).map(|pick| *pick.get(&taken)).collect() };
            for offset in &finishing {
                tracker.finish(*offset);
            }
            if let Some((mark, more)) = tracker.take_commit() {
                told.extend(&finishing);
                prop_assert!(offsets.iter().all(|o| *o >= mark || told.contains(o)), "the mark passed a record");
                (committed, text) = (mark, more);
            }
        }
        prop_assert_eq!(told.len(), offsets.len());
    }
}
