//! What is in flight, as figures: for metrics, and for the watch over the client.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{Flow, Partition};

impl Flow {
    /// The partitions that are ours and not paused.
    pub(in crate::kafka::consumer) fn readable(&self) -> HashSet<Partition> {
        let state = self.lock();
        let open = state.trackers.values().filter(|tracker| !tracker.paused && !tracker.draining);
        open.map(|tracker| (tracker.topic.to_string(), tracker.partition)).collect()
    }

    /// When the oldest unfinished record of each topic was written, in milliseconds since 1970, as far as it is in memory.
    pub(in crate::kafka::consumer) fn oldest_written(&self) -> HashMap<Arc<str>, i64> {
        let mut oldest = HashMap::new();
        for tracker in self.lock().trackers.values() {
            if let Some(written) = tracker.oldest_written() {
                oldest
                    .entry(tracker.topic.clone())
                    .and_modify(|at: &mut i64| *at = written.min(*at))
                    .or_insert(written);
            }
        }
        oldest
    }

    /// Records and bytes in memory.
    pub(in crate::kafka::consumer) fn load(&self) -> (usize, usize) {
        let state = self.lock();
        (state.waiting, state.bytes)
    }
}
