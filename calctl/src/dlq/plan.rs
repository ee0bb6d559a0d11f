//! What a replay does with each dead letter: decided before anything is sent, and pure.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use schemas::replay::LetterId;

use super::letter::{Letter, Value};

/// The latest death of each event, over the whole DLQ: an event that died twice is replayed once.
#[derive(Default)]
pub(crate) struct LastDeaths(HashMap<String, (Timestamp, i32, i64)>);

impl LastDeaths {
    pub(crate) fn note(&mut self, letter: &Letter) {
        match self.0.get_mut(&letter.event_id) {
            Some(last) => *last = letter.order().max(*last),
            None => drop(self.0.insert(letter.event_id.clone(), letter.order())),
        }
    }

    pub(crate) fn knows(&self, event_id: &str) -> bool {
        self.0.contains_key(event_id)
    }

    fn is_last(&self, letter: &Letter) -> bool {
        self.0.get(&letter.event_id).is_none_or(|last| *last == letter.order())
    }
}

/// What becomes of a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// To the due topic.
    Replay,
    /// As a new event to the topic that it was meant for.
    Reingest,
    /// Nothing, and why.
    Skip(String),
}

/// The rules that the operator may change.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) again: bool,
    pub(crate) max_replays: u32,
}

/// What to do with a letter; `replayed` are those that were handed back since they died.
pub(crate) fn step(letter: &Letter, last: &LastDeaths, replayed: &HashSet<LetterId>, rules: Rules) -> Step {
    let came_back = letter.replay.as_ref().map_or(0, |replay| replay.count);
    if !last.is_last(letter) {
        return Step::Skip("the event has a later dead letter".to_owned());
    }
    if replayed.contains(&letter.id) && !rules.again {
        return Step::Skip("replayed already since it died (--again does it once more)".to_owned());
    }
    if came_back >= rules.max_replays {
        return Step::Skip(format!(
            "came back from {came_back} replays; mend the cause, then raise --max-replays to try again"
        ));
    }
    match &letter.value {
        Value::Event => Step::Replay,
        Value::Body => Step::Reingest,
        Value::UnfitBody(unfit) => Step::Skip(unfit.to_string()),
        Value::Undecodable(error) => Step::Skip(format!("the processor would refuse it again: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::InvalidPayload;
    use schemas::replay::Replay;

    use super::super::reingest::Unfit;

    const RULES: Rules = Rules { again: false, max_replays: 3 };

    fn letter(event_id: &str, offset: i64) -> Letter {
        Letter {
            id: LetterId { partition: 0, offset, written: 1000 + offset },
            event_id: event_id.to_owned(),
            event_type: None,
            received_at: None,
            retry: None,
            replay: None,
            value: Value::Event,
        }
    }

    fn with(letters: &[Letter]) -> LastDeaths {
        let mut last = LastDeaths::default();
        for letter in letters {
            last.note(letter);
        }
        last
    }

    fn skips(step: &Step, why: &str) -> bool {
        matches!(step, Step::Skip(reason) if reason.contains(why))
    }

    #[test]
    fn an_event_that_died_twice_is_replayed_once_whatever_the_order_of_reading() {
        let (first, second) = (letter("a", 1), letter("a", 2));
        for last in [with(&[first.clone(), second.clone()]), with(&[second.clone(), first.clone()])] {
            assert!(skips(&step(&first, &last, &HashSet::new(), RULES), "later"));
            assert_eq!(step(&second, &last, &HashSet::new(), RULES), Step::Replay);
        }
    }

    #[test]
    fn what_was_replayed_is_skipped_until_it_dies_again() {
        let (first, second) = (letter("a", 1), letter("a", 2));
        let replayed = HashSet::from([first.id]);
        let last = with(std::slice::from_ref(&first));
        assert!(skips(&step(&first, &last, &replayed, RULES), "already"));
        assert_eq!(step(&first, &last, &replayed, Rules { again: true, ..RULES }), Step::Replay);
        let last = with(&[first, second.clone()]);
        assert_eq!(step(&second, &last, &replayed, RULES), Step::Replay);
    }

    #[test]
    fn what_comes_back_again_and_again_is_left_alone() {
        let mut letter = letter("a", 9);
        let from = letter.id;
        for (count, goes) in [(1, true), (2, true), (3, false), (4, false)] {
            letter.replay = Some(Replay { by: String::new(), at: Timestamp::UNIX_EPOCH, from, count });
            let last = with(std::slice::from_ref(&letter));
            for again in [false, true] {
                let step = step(&letter, &last, &HashSet::new(), Rules { again, ..RULES });
                assert_eq!(step == Step::Replay, goes, "{count}: {step:?}");
            }
        }
    }

    #[test]
    fn a_body_is_taken_in_when_it_is_an_event_by_now() {
        let mut body = letter("a", 1);
        let last = with(std::slice::from_ref(&body));
        body.value = Value::Body;
        assert_eq!(step(&body, &last, &HashSet::new(), RULES), Step::Reingest);
        body.value = Value::UnfitBody(Unfit::Invalid(InvalidPayload::NotUtf8));
        assert!(skips(&step(&body, &last, &HashSet::new(), RULES), "still no event"));
        body.value = Value::Undecodable("x".to_owned());
        assert!(skips(&step(&body, &last, &HashSet::new(), RULES), "refuse it again"));
    }
}
