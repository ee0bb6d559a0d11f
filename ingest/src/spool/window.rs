//! What the drainer asks the spool for, and gets.

use std::collections::BTreeSet;

use super::entry;

/// The most entries that one question may look at: others wait for the thread meanwhile.
const LOOKS: usize = 4096;

/// Entries from an id on.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    /// The first id.
    pub(super) from: u64,
    /// At most so many.
    pub(super) count: usize,
    /// About so many bytes; one entry may be larger.
    pub(super) bytes: usize,
    /// Topics whose entries are passed by.
    pub(super) but: BTreeSet<String>,
    /// And so many of the newest.
    pub(super) newest: usize,
}

/// The answer.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// Oldest first, with their ids.
    pub(super) entries: Vec<(u64, Vec<u8>)>,
    /// Where the next window begins.
    pub(super) next: u64,
    /// Whether there is nothing after it.
    pub(super) is_last: bool,
    bytes: usize,
    looks: usize,
}

impl Window {
    /// An empty one that begins there.
    pub(super) fn from(next: u64) -> Self {
        Self { next, ..Self::default() }
    }

    /// Takes the next entry, or passes it by; false when the window ends before it.
    pub(super) fn look_at(&mut self, wanted: &Wanted, id: u64, bytes: &[u8], skip: impl Fn(u64) -> bool) -> bool {
        if self.looks >= LOOKS {
            return false;
        }
        self.looks += 1;
        let is_passed = || entry::topic(bytes).is_some_and(|topic| wanted.but.contains(topic));
        if !skip(id) && !is_passed() {
            let is_full = self.bytes + bytes.len() > wanted.bytes && !self.entries.is_empty();
            if is_full || self.entries.len() >= wanted.count {
                return false;
            }
            self.bytes += bytes.len();
            self.entries.push((id, bytes.to_vec()));
        }
        self.next = id.saturating_add(1);
        true
    }
}
