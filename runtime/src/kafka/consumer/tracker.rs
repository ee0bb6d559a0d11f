//! Which offsets of a partition are finished: pure bookkeeping, so that only a contiguous prefix is ever committed.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::marks;

/// A record that was taken in.
#[derive(Debug)]
struct Open {
    offset: i64,
    finished: bool,
    /// When it was written, in milliseconds since 1970, as far as the broker knows.
    written: Option<i64>,
}

/// The offsets in flight of one assignment of a partition.
#[derive(Debug)]
pub(super) struct Tracker {
    pub(super) topic: Arc<str>,
    pub(super) partition: i32,
    /// Records that a handler is dealing with at this moment.
    pub(super) running: usize,
    /// The partition is about to go: nothing more of it is begun.
    pub(super) draining: bool,
    /// Intake is paused.
    pub(super) paused: bool,
    /// From the oldest unfinished record on, in order.
    open: VecDeque<Open>,
    /// Behind the last record that was taken in.
    next: Option<i64>,
    /// Finished in an earlier assignment; what is ahead of `next` is still to be passed over.
    finished_before: VecDeque<Range<i64>>,
    /// Something is finished that is not committed.
    dirty: bool,
}

impl Tracker {
    pub(super) fn new(topic: Arc<str>, partition: i32, finished_before: Vec<Range<i64>>) -> Self {
        Self {
            topic,
            partition,
            running: 0,
            draining: false,
            paused: false,
            open: VecDeque::new(),
            next: None,
            finished_before: finished_before.into(),
            dirty: false,
        }
    }

    /// Whether reading went back to an offset that was taken in before: the log was cut or made anew.
    pub(super) fn rewinds_at(&self, offset: i64) -> bool {
        self.next.is_some_and(|next| offset < next)
    }

    /// Takes a record in. False when it was finished in an earlier assignment.
    pub(super) fn start(&mut self, offset: i64, written: Option<i64>) -> bool {
        self.dirty |= self.next.is_none();
        self.next = Some(offset + 1);
        while self.finished_before.front().is_some_and(|range| range.end <= offset) {
            self.finished_before.pop_front();
        }
        let finished = self.finished_before.front().is_some_and(|range| range.contains(&offset));
        if !finished || !self.open.is_empty() {
            self.open.push_back(Open { offset, finished, written });
        }
        self.dirty |= finished;
        !finished
    }

    pub(super) fn finish(&mut self, offset: i64) {
        let at = self.open.partition_point(|open| open.offset < offset);
        if let Some(found) = self.open.get_mut(at).filter(|open| open.offset == offset) {
            found.finished = true;
            self.dirty = true;
        }
        while self.open.front().is_some_and(|open| open.finished) {
            self.open.pop_front();
        }
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
        self.open.front().map(|open| open.offset).or(self.next)
    }

    /// When the oldest unfinished record was written; `None` also when there is no such record.
    pub(super) fn oldest_written(&self) -> Option<i64> {
        self.open.front().and_then(|open| open.written)
    }

    /// The low-water mark and, as text, what is finished beyond it, when anything changed since it was last asked for.
    pub(super) fn take_commit(&mut self) -> Option<(i64, String)> {
        let low = self.low_water()?;
        std::mem::take(&mut self.dirty).then(|| (low, marks::encode(low, self.finished_beyond())))
    }

    /// A commit failed: what it told counts as not committed.
    pub(super) fn forget_commit(&mut self) {
        self.dirty = self.next.is_some();
    }

    /// The finished ranges beyond the mark. Holes between two finished records belong to them: there is nothing to read.
    fn finished_beyond(&self) -> Vec<Range<i64>> {
        let mut ranges: Vec<Range<i64>> = Vec::new();
        let mut joins = false;
        for Open { offset, finished, .. } in &self.open {
            match ranges.last_mut().filter(|_| joins && *finished) {
                Some(last) => last.end = offset + 1,
                None if *finished => ranges.push(*offset..offset + 1),
                None => {}
            }
            joins = *finished;
        }
        let next = self.next.unwrap_or(0);
        let ahead = self.finished_before.iter().map(|range| range.start.max(next)..range.end);
        ranges.extend(ahead.filter(|range| !range.is_empty()));
        ranges
    }
}

#[cfg(test)]
#[path = "tracker_tests.rs"]
mod tests;
