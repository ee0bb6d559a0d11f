//! What was said of entries that stay behind: they are tried again and again, and worth one line each.

use std::collections::BTreeSet;

use runtime::kafka::SendError;

use super::Entry;

/// So many entries are named, for want of memory and of readers. `spool_records` counts all.
const MOST: usize = 1000;

/// What is known to the log.
#[derive(Debug, Default)]
pub(super) struct Told {
    entries: BTreeSet<u64>,
    topics: BTreeSet<String>,
}

impl Told {
    pub(super) fn refused(&mut self, id: u64, entry: &Entry<'_>, error: &SendError) {
        if self.is_news(id) {
            let event_id = entry.header("event-id");
            tracing::error!(event_id, %error, "a spooled record is refused; it stays in the spool and is tried again");
        }
    }

    pub(super) fn unreadable(&mut self, id: u64) {
        if self.is_news(id) {
            tracing::error!(id, "an entry of the spool cannot be read by this version; it stays in the spool");
        }
    }

    pub(super) fn missed(&mut self, topic: &str, error: &SendError) {
        if self.topics.len() < MOST && self.topics.insert(topic.to_owned()) {
            tracing::warn!(topic, %error, "spooled records do not arrive; they stay in the spool and are tried again");
        }
    }

    pub(super) fn delivered(&mut self, id: u64, topic: &str) {
        self.entries.remove(&id);
        self.topics.remove(topic);
    }

    fn is_news(&mut self, id: u64) -> bool {
        self.entries.len() < MOST && self.entries.insert(id)
    }
}
