//! When what has not moved was due: kept beyond a session, so that records whose transactions fail, or for which no
//! session gets to work, are seen to be late.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::head::Partition;

/// For so long a partition that we have is believed to hold what was seen of it before. Then another member has moved
/// it, since otherwise it would have been read again.
const BELIEVED: Duration = Duration::from_mins(1);

#[derive(Clone, Copy, Debug)]
struct First {
    due_at: Timestamp,
    seen: Instant,
}

/// Of each partition, when the first record that has not moved was due, as far as it was read.
#[derive(Debug, Default)]
pub(super) struct Unmoved(Mutex<BTreeMap<Partition, First>>);

impl Unmoved {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Partition, First>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first record of a partition, which waits or is about to move, was read.
    pub(super) fn read(&self, partition: &Partition, due_at: Timestamp, seen: Instant) {
        let first = First { due_at, seen };
        let mut all = self.lock();
        match all.get_mut(partition) {
            Some(present) => *present = first,
            None => drop(all.insert(partition.clone(), first)),
        }
    }

    /// What was read of a partition has moved, for good.
    pub(super) fn moved(&self, partition: &Partition) {
        self.lock().remove(partition);
    }

    /// The partition was given to us, maybe again: what it holds is about to be read.
    pub(super) fn given(&self, partition: &Partition, now: Instant) {
        if let Some(first) = self.lock().get_mut(partition) {
            first.seen = now;
        }
    }

    /// Forgets what others move, or have moved. To be called by a member of the group.
    pub(super) fn forget_others(&self, is_ours: impl Fn(&Partition) -> bool, now: Instant) {
        self.lock().retain(|partition, first| is_ours(partition) && now.duration_since(first.seen) < BELIEVED);
    }

    /// When the first record of a topic was, or will be, due.
    pub(super) fn first_due(&self, topic: &str) -> Option<Timestamp> {
        self.lock().iter().filter(|(partition, _)| partition.0 == topic).map(|(_, first)| first.due_at).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(number: i32) -> Partition {
        ("tier".to_owned(), number)
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn what_was_read_stays_late_until_it_has_moved() {
        let (unmoved, now) = (Unmoved::default(), Instant::now());
        assert_eq!(unmoved.first_due("tier"), None);
        unmoved.read(&partition(0), at(20), now);
        unmoved.read(&partition(1), at(10), now);
        assert_eq!(unmoved.first_due("tier"), Some(at(10)));
        assert_eq!(unmoved.first_due("another"), None);
        // The transaction failed; the next session reads it again.
        unmoved.given(&partition(1), now);
        unmoved.read(&partition(1), at(10), now);
        assert_eq!(unmoved.first_due("tier"), Some(at(10)));
        unmoved.moved(&partition(1));
        assert_eq!(unmoved.first_due("tier"), Some(at(20)));
        unmoved.moved(&partition(0));
        assert_eq!(unmoved.first_due("tier"), None);
    }

    #[test]
    fn what_others_have_is_theirs_to_tell() {
        let (unmoved, now) = (Unmoved::default(), Instant::now());
        unmoved.read(&partition(0), at(20), now);
        unmoved.read(&partition(1), at(10), now);
        unmoved.forget_others(|partition| partition.1 == 0, now);
        assert_eq!(unmoved.first_due("tier"), Some(at(20)));
    }

    #[test]
    fn what_is_not_read_again_was_moved_by_another() {
        let (unmoved, begun) = (Unmoved::default(), Instant::now());
        unmoved.read(&partition(0), at(20), begun);
        let later = begun + 10 * BELIEVED;
        unmoved.given(&partition(0), later);
        unmoved.forget_others(|_| true, later + BELIEVED / 2);
        assert_eq!(unmoved.first_due("tier"), Some(at(20)), "it is about to be read");
        unmoved.forget_others(|_| true, later + BELIEVED);
        assert_eq!(unmoved.first_due("tier"), None);
    }
}
