//! The file after crashes, damage and a full disk.

use std::os::unix::fs::PermissionsExt as _;

use super::super::Entry;
use super::*;

fn none() -> BTreeSet<u64> {
    BTreeSet::new()
}

fn entries(numbers: std::ops::Range<u8>) -> Vec<Vec<u8>> {
    numbers.map(|number| vec![number; 3000]).collect()
}

fn all(store: &Store) -> Vec<Vec<u8>> {
    read(store, 0, 1000, usize::MAX).entries.into_iter().map(|(_, entry)| entry).collect()
}

fn read(store: &Store, from: u64, count: usize, bytes: usize) -> Window {
    store.read(&Wanted { from, count, bytes, ..Wanted::default() }, |_| false).unwrap()
}

fn ids(entries: &[(u64, Vec<u8>)]) -> Vec<u64> {
    entries.iter().map(|(id, _)| *id).collect()
}

#[test]
fn entries_come_out_in_order_and_stay_until_removed() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(&dir.path().join("a/b")).unwrap();
    store.change(&entries(0..3), &none()).unwrap();
    store.change(&entries(3..5), &[1].into()).unwrap();
    assert_eq!(store.depth(), Depth { records: 4, bytes: 12_000 });
    let window = read(&store, 1, 2, usize::MAX);
    assert_eq!((ids(&window.entries), window.next, window.is_last), (vec![2, 3], 4, false));
    let window = read(&store, window.next, 2, usize::MAX);
    assert_eq!((ids(&window.entries), window.next, window.is_last), (vec![4], 5, true));
    assert_eq!(ids(&store.newest(2, |id| id == 4).unwrap()), [3, 2]);
    assert_eq!(read(&store, 0, 10, 1).entries.len(), 1, "one that is too large is read alone");
    drop(store);
    let mut store = Store::open(&dir.path().join("a/b")).unwrap();
    assert_eq!(store.depth(), Depth { records: 4, bytes: 12_000 });
    assert!(all(&store) == [entries(0..1), entries(2..5)].concat());
    store.change(&[], &(0..9).collect()).unwrap();
    assert_eq!(store.depth(), Depth::default());
}

#[test]
fn entries_of_a_topic_are_passed_by() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let entry = |topic: &str| {
        let entry = Entry { topic, key: &[], value: [].as_slice().into(), headers: vec![] };
        entry.encode(Timestamp::UNIX_EPOCH)
    };
    let topics: Vec<_> = std::iter::repeat_n("gone", 5000).chain(["here"]).map(entry).collect();
    store.change(&topics, &none()).unwrap();
    let mut wanted = Wanted { count: 10, bytes: usize::MAX, but: ["gone".to_owned()].into(), ..Wanted::default() };
    let window = store.read(&wanted, |_| false).unwrap();
    assert!(window.entries.is_empty() && !window.is_last && window.next > 1000, "in parts: {}", window.next);
    wanted.from = window.next;
    assert_eq!(ids(&store.read(&wanted, |_| false).unwrap().entries), [5000]);
}

#[test]
fn an_id_is_never_used_twice() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    store.change(&entries(0..3), &none()).unwrap();
    store.change(&[], &[0, 1, 2].into()).unwrap();
    store.rehearse(100_000).unwrap();
    let next = store.next();
    drop(store);
    let mut store = Store::reopen(dir.path(), next).unwrap();
    assert_eq!(store.depth(), Depth::default());
    store.change(&entries(3..4), &none()).unwrap();
    assert_eq!(ids(&read(&store, 0, 10, usize::MAX).entries), [3]);
}

#[test]
fn only_the_owner_can_read_it() {
    let dir = tempfile::tempdir().unwrap();
    let _store = Store::open(&dir.path().join("spool")).unwrap();
    let mode = |path: &str| std::fs::metadata(dir.path().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("spool"), mode("spool/spool.redb")), (0o700, 0o600));
}

#[test]
fn a_second_owner_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _first = Store::open(dir.path()).unwrap();
    assert!(matches!(Store::open(dir.path()), Err(OpenError::InUse(_))));
}

/// The file as a `kill -9` leaves it: copied while it is open.
fn crashed(count: u8) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    for number in 0..count {
        store.change(&entries(number..number + 1), &none()).unwrap();
    }
    std::fs::read(dir.path().join(FILE)).unwrap()
}

#[test]
fn after_a_crash_everything_acknowledged_is_there() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(FILE), crashed(20)).unwrap();
    assert!(all(&Store::open(dir.path()).unwrap()) == entries(0..20));
}

#[test]
fn a_damaged_file_is_an_error_and_left_alone() {
    let sound = crashed(10);
    let mut damaged = 0;
    for step in 0..60 {
        let mut bytes = sound.clone();
        let at = (step * bytes.len() / 60).min(bytes.len() - 64);
        bytes[at..at + 64].iter_mut().for_each(|byte| *byte ^= 0x55);
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), &bytes).unwrap();
        match Store::open(dir.path()) {
            // The damage is in a part that is not in use.
            Ok(store) => assert!(all(&store) == entries(0..10), "at {at}"),
            Err(error) => {
                assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
                assert!(error.to_string().contains("move it away"), "{error}");
                damaged += 1;
            }
        }
        assert!(dir.path().join(FILE).metadata().unwrap().len() > 0);
    }
    assert!(damaged > 5, "{damaged}");
}

#[test]
fn a_cut_or_foreign_file_is_an_error() {
    let sound = crashed(10);
    for bytes in [&sound[..sound.len() / 2], &sound[..100], b"not a spool at all"] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), bytes).unwrap();
        let opened = Store::open(dir.path()).map(drop);
        assert!(matches!(opened, Err(OpenError::Damaged { .. })), "{} {opened:?}", bytes.len());
        assert_eq!(std::fs::read(dir.path().join(FILE)).unwrap().len(), bytes.len());
    }
}

/// Run by hand for the numbers in the decision: `cargo test -p ingest --release -- --ignored rate --nocapture`.
#[test]
#[ignore = "a measurement"]
fn rate() {
    let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let batch: Vec<_> = (0..64).map(|number| vec![number; 3500]).collect();
    let started = std::time::Instant::now();
    for _ in 0..200 {
        store.change(&batch, &none()).unwrap();
    }
    let seconds = started.elapsed().as_secs_f64();
    eprintln!("{:.0} commits/s, {:.0} records/s", 200.0 / seconds, 12_800.0 / seconds);
}
