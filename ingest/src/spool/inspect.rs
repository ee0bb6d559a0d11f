//! A look into a spool from outside, for fuzzing.

use std::collections::BTreeSet;
use std::path::Path;

use jiff::Timestamp;

use super::{Entry, OpenError, Store};

/// Entries of [`sample`].
pub const SAMPLE_ENTRIES: usize = 8;

/// Opens the spool in `dir` and counts the entries that can be read.
pub fn inspect(dir: &Path) -> Result<usize, OpenError> {
    let store = Store::open(dir)?;
    let entries = store.newest(usize::MAX, |_| false);
    let damaged = |cause: String| OpenError::Damaged { path: dir.to_owned(), cause };
    let entries = entries.map_err(|error| damaged(error.to_string()))?;
    Ok(entries.iter().filter(|(_, bytes)| Entry::decode(bytes).is_some()).count())
}

/// The file of a small spool, as a `kill -9` leaves it; empty when there is no disk to make it on.
pub fn sample() -> Vec<u8> {
    let dir = std::env::temp_dir().join(format!("spool-sample-{}", std::process::id()));
    let made = Store::open(&dir).ok().and_then(|mut store| {
        for number in 0..SAMPLE_ENTRIES {
            let headers = vec![("event-id", number.to_string().into_bytes().into())];
            let entry = Entry { topic: "calendly.events", key: &[1; 40], value: vec![2; 900].into(), headers };
            store.change(&[entry.encode(Timestamp::UNIX_EPOCH)], &BTreeSet::new()).ok()?;
        }
        std::fs::read(dir.join(super::store::FILE)).ok()
    });
    // A folder that stays behind does no harm.
    let _ = std::fs::remove_dir_all(&dir);
    made.unwrap_or_default()
}
