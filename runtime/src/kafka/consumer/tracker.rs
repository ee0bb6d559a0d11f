//! Which offsets of a partition are finished: pure bookkeeping, so that only a contiguous prefix is ever committed.

use std::collections::BTreeSet;

/// The offsets in flight of one assigned partition.
#[derive(Debug)]
pub(super) struct Tracker {
    /// Tells this assignment from an earlier one of the same partition, whose stragglers must not count.
    pub(super) epoch: u64,
    /// Records that a handler is dealing with at this moment.
    pub(super) running: usize,
    /// The partition is about to go: nothing more of it is begun.
    pub(super) draining: bool,
    unfinished: BTreeSet<i64>,
    next: Option<i64>,
    committed: Option<i64>,
}

impl Tracker {
    pub(super) fn new(epoch: u64) -> Self {
        Self { epoch, running: 0, draining: false, unfinished: BTreeSet::new(), next: None, committed: None }
    }

    pub(super) fn start(&mut self, offset: i64) {
        self.unfinished.insert(offset);
        self.next = Some(self.next.map_or(offset + 1, |next| next.max(offset + 1)));
    }

    pub(super) fn finish(&mut self, offset: i64) {
        self.unfinished.remove(&offset);
    }

    /// How far intake is ahead of the oldest unfinished record.
    pub(super) fn span(&self) -> i64 {
        match (self.next, self.low_water()) {
            (Some(next), Some(low)) => next - low,
            _ => 0,
        }
    }

    /// The offset to commit: everything before it is finished.
    ///
    /// Offsets have holes (transaction markers), so this is not a count of finished records.
    pub(super) fn low_water(&self) -> Option<i64> {
        self.unfinished.first().copied().or(self.next)
    }

    /// The low-water mark, when it has moved since it was last asked for.
    pub(super) fn take_commit(&mut self) -> Option<i64> {
        let low = self.low_water()?;
        if self.committed == Some(low) {
            return None;
        }
        self.committed = Some(low);
        Some(low)
    }

    /// A commit failed: the mark counts as not committed.
    pub(super) fn forget_commit(&mut self) {
        self.committed = None;
    }
}

#[cfg(test)]
mod tests {
    use super::Tracker;
    use std::collections::BTreeSet;

    #[test]
    fn commits_only_the_contiguous_prefix() {
        let mut tracker = Tracker::new(1);
        for offset in [5, 6, 8, 9] {
            tracker.start(offset);
        }
        assert_eq!(tracker.take_commit(), Some(5), "where the assignment began");
        tracker.finish(6);
        tracker.finish(9);
        assert_eq!(tracker.low_water(), Some(5));
        tracker.finish(5);
        assert_eq!(tracker.take_commit(), Some(8));
        assert_eq!(tracker.take_commit(), None, "nothing moved");
        tracker.finish(8);
        assert_eq!(tracker.take_commit(), Some(10));
        assert_eq!(tracker.span(), 0);
    }

    /// Whatever the order of finishing, no unfinished offset is ever below the mark, and the mark ends at the end.
    #[test]
    fn never_passes_an_unfinished_offset() {
        let offsets: Vec<i64> = (0..7).map(|n| n * 2 + 3).collect();
        for rotation in 0..offsets.len() {
            let mut tracker = Tracker::new(1);
            let mut open: BTreeSet<i64> = offsets.iter().copied().collect();
            for offset in &offsets {
                tracker.start(*offset);
            }
            let mut order = offsets.clone();
            order.rotate_left(rotation);
            for offset in order {
                tracker.finish(offset);
                open.remove(&offset);
                assert!(open.iter().all(|left| Some(*left) >= tracker.low_water()));
            }
            assert_eq!(tracker.low_water(), Some(16));
        }
    }
}
