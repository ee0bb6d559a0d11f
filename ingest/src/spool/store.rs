//! The spool's file: a table of entries in the order of their arrival, and their total size, changed together in
//! fsynced transactions.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use redb::{Database, DatabaseError, ReadableDatabase as _, ReadableTable as _, StorageError, TableDefinition};
use redb::{ReadableTableMetadata as _, WriteTransaction};

use super::entry::spooled_at;
use super::window::{Wanted, Window};

const ENTRIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("entries");
const TOTALS: TableDefinition<'_, &str, u64> = TableDefinition::new("totals");
const BYTES: &str = "bytes";
/// Filler that is written and taken out again, to find out whether the disk has room.
const REHEARSAL: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("rehearsal");

pub(super) const FILE: &str = "spool.redb";
/// What is read was written a moment ago or is read once: there is little to gain from a larger one.
const CACHE_BYTES: usize = 8 * 1024 * 1024;
/// A file larger than this is made small again once it is empty.
const COMPACT_BYTES: u64 = 64 * 1024 * 1024;

/// Why there is no spool.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{} is in use by another process; give each ingest a folder of its own", .0.display())]
    InUse(PathBuf),
    /// The folder or the file cannot be written.
    #[error("{} cannot be used ({cause}); make the folder writable, with space left, or choose another", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: std::io::ErrorKind,
    },
    /// The file is not as it was written.
    #[error(
        "the spool {} is damaged ({cause}), and deliveries in it may not have reached Kafka; restore the file from a copy, \
         or move it away (and keep it) to begin with an empty one",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
}

/// A change could not be made; nothing of it was.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct StoreError(#[from] redb::Error);

/// How much is in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Depth {
    pub(super) records: u64,
    pub(super) bytes: u64,
}

/// The open file.
#[derive(Debug)]
pub(super) struct Store {
    database: Database,
    path: PathBuf,
    next: u64,
    depth: Depth,
}

impl Store {
    /// Opens the file in `dir`, or makes both. After a crash it is as of the last commit that was acknowledged.
    ///
    /// All of it is read and checked, which tells a damaged file from a sound one in place of trusting it.
    pub(super) fn open(dir: &Path) -> Result<Self, OpenError> {
        Self::open_at(dir, 0, true)
    }

    /// Opens the file again in the process that has checked it, as of the last commit: at once, however large it is.
    /// New entries begin at `next`, so that an id is never used twice.
    pub(super) fn reopen(dir: &Path, next: u64) -> Result<Self, OpenError> {
        Self::open_at(dir, next, false)
    }

    fn open_at(dir: &Path, next: u64, check: bool) -> Result<Self, OpenError> {
        let path = dir.join(FILE);
        let unusable = |error: std::io::Error| OpenError::Unusable { path: path.clone(), cause: error.kind() };
        let damaged = |cause: String| OpenError::Damaged { path: path.clone(), cause };
        prepare(dir, &path).map_err(unusable)?;
        let opened = Database::builder().set_cache_size(CACHE_BYTES).set_check_integrity_on_open(check).create(&path);
        let database = opened.map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => OpenError::InUse(path.clone()),
            DatabaseError::Storage(StorageError::Io(error)) if !tells_of_damage(&error) => unusable(error),
            other => damaged(other.to_string()),
        })?;
        let mut store = Self { database, path: path.clone(), next, depth: Depth::default() };
        store.read_depth().map_err(|error| match error.0 {
            redb::Error::Io(error) => unusable(error),
            other => damaged(other.to_string()),
        })?;
        Ok(store)
    }

    fn read_depth(&mut self) -> Result<(), StoreError> {
        // Makes the tables of a new file.
        let transaction = self.begin()?;
        let (next, depth) = {
            let entries = transaction.open_table(ENTRIES).map_err(redb::Error::from)?;
            let totals = transaction.open_table(TOTALS).map_err(redb::Error::from)?;
            let last = entries.last().map_err(redb::Error::from)?.map(|(id, _)| id.value());
            let bytes = totals.get(BYTES).map_err(redb::Error::from)?.map_or(0, |bytes| bytes.value());
            let records = entries.len().map_err(redb::Error::from)?;
            (last.map_or(0, |id| id.saturating_add(1)).max(self.next), Depth { records, bytes })
        };
        transaction.commit().map_err(redb::Error::from)?;
        (self.next, self.depth) = (next, depth);
        Ok(())
    }

    /// The id of the next entry.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// How much is in it.
    pub(super) fn depth(&self) -> Depth {
        self.depth
    }

    /// Adds entries and removes others, in one transaction; when it returns they are on the disk.
    pub(super) fn change(&mut self, add: &[Vec<u8>], remove: &BTreeSet<u64>) -> Result<(), StoreError> {
        let transaction = self.begin()?;
        let depth = self.write(&transaction, add, remove)?;
        transaction.commit().map_err(redb::Error::from)?;
        self.depth = depth;
        self.next = self.next.saturating_add(add.len() as u64);
        Ok(())
    }

    /// Writes as much as an entry of `bytes` takes, and takes it out again: whether the disk has room.
    pub(super) fn rehearse(&mut self, bytes: usize) -> Result<(), StoreError> {
        for filler in [vec![0; bytes], Vec::new()] {
            let transaction = self.begin()?;
            let inserted =
                transaction.open_table(REHEARSAL).map_err(redb::Error::from)?.insert(0, filler.as_slice()).map(drop);
            inserted.map_err(redb::Error::from)?;
            transaction.commit().map_err(redb::Error::from)?;
        }
        Ok(())
    }

    /// In two phases, so two fsyncs. With one, redb takes a damaged last commit for one that a crash cut short, and goes
    /// back to the commit before: entries that were acknowledged would be gone without a word.
    ///
    /// And with what redb needs to open the file again without reading all of it.
    fn begin(&self) -> Result<WriteTransaction, redb::Error> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_two_phase_commit(true);
        transaction.set_quick_repair(true);
        Ok(transaction)
    }

    fn write(
        &self,
        transaction: &WriteTransaction,
        add: &[Vec<u8>],
        remove: &BTreeSet<u64>,
    ) -> Result<Depth, redb::Error> {
        let mut depth = self.depth;
        let mut entries = transaction.open_table(ENTRIES)?;
        for id in remove {
            if let Some(removed) = entries.remove(id)? {
                depth.records = depth.records.saturating_sub(1);
                depth.bytes = depth.bytes.saturating_sub(removed.value().len() as u64);
            }
        }
        for (id, entry) in (self.next..).zip(add) {
            entries.insert(id, entry.as_slice())?;
            depth.records += 1;
            depth.bytes += entry.len() as u64;
        }
        transaction.open_table(TOTALS)?.insert(BYTES, depth.bytes)?;
        Ok(depth)
    }

    /// What is `wanted`, but for the ids to `skip`.
    pub(super) fn read(&self, wanted: &Wanted, skip: impl Fn(u64) -> bool) -> Result<Window, StoreError> {
        let transaction = self.database.begin_read().map_err(redb::Error::from)?;
        let entries = transaction.open_table(ENTRIES).map_err(redb::Error::from)?;
        let mut window = Window::from(wanted.from);
        for entry in entries.range(wanted.from..).map_err(redb::Error::from)? {
            let (id, entry) = entry.map_err(redb::Error::from)?;
            if !window.look_at(wanted, id.value(), entry.value(), &skip) {
                return Ok(window);
            }
        }
        window.is_last = true;
        Ok(window)
    }

    /// The newest `count` entries, but for the ids to `skip`.
    pub(super) fn newest(&self, count: usize, skip: impl Fn(u64) -> bool) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        let transaction = self.database.begin_read().map_err(redb::Error::from)?;
        let entries = transaction.open_table(ENTRIES).map_err(redb::Error::from)?;
        let mut newest = Vec::new();
        for entry in entries.iter().map_err(redb::Error::from)?.rev() {
            let (id, entry) = entry.map_err(redb::Error::from)?;
            if newest.len() >= count {
                break;
            }
            if !skip(id.value()) {
                newest.push((id.value(), entry.value().to_vec()));
            }
        }
        Ok(newest)
    }

    /// When the oldest entry, but for the ids to `skip`, was spooled.
    pub(super) fn oldest(&self, skip: impl Fn(u64) -> bool) -> Result<Option<Timestamp>, StoreError> {
        let transaction = self.database.begin_read().map_err(redb::Error::from)?;
        let entries = transaction.open_table(ENTRIES).map_err(redb::Error::from)?;
        for entry in entries.iter().map_err(redb::Error::from)? {
            let (id, entry) = entry.map_err(redb::Error::from)?;
            if !skip(id.value()) {
                return Ok(spooled_at(entry.value()));
            }
        }
        Ok(None)
    }

    /// Gives the disk back what an emptied spool no longer needs.
    pub(super) fn shrink(&mut self) {
        let large = std::fs::metadata(&self.path).is_ok_and(|file| file.len() > COMPACT_BYTES);
        if large && self.depth.records == 0 {
            // A spool that stays large works as well.
            let _ = self.database.compact();
        }
    }
}

/// The file ends before it should, or what is in it makes no sense.
fn tells_of_damage(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    matches!(error.kind(), InvalidData | InvalidInput | UnexpectedEof)
}

/// Personal data lie here: the folder and the file are for us alone.
fn prepare(dir: &Path, path: &Path) -> std::io::Result<()> {
    let mut holders = vec![dir];
    // Each folder that is made now is a name in the one above it.
    while let Some(above) = holders.last().copied().filter(|holder| !holder.exists()).and_then(Path::parent) {
        holders.push(above);
    }
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    // The names of the file and of new folders are to be as durable as what is in it.
    for holder in holders {
        let here = Path::new(".");
        File::open(if holder.as_os_str().is_empty() { here } else { holder })?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
