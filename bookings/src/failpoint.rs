//! Places at which a test can kill the process. Only debug builds have them.

/// Ends the process on the spot, as `kill -9` would, when a test has asked for it: `FAILPOINT=name` for the first time
/// that the place is reached, `FAILPOINT=name:3` for the third.
#[cfg(debug_assertions)]
pub fn hit(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static WANTED: OnceLock<Option<(String, u32)>> = OnceLock::new();
    static HITS: AtomicU32 = AtomicU32::new(0);

    #[expect(clippy::disallowed_methods, reason = "no configuration: a switch for tests, absent from release builds")]
    let read = || {
        let text = std::env::var("FAILPOINT").ok()?;
        let (name, count) = text.split_once(':').unwrap_or((&text, "1"));
        Some((name.to_owned(), count.parse().ok()?))
    };
    if let Some((wanted, count)) = WANTED.get_or_init(read)
        && wanted == name
        && HITS.fetch_add(1, Ordering::Relaxed) + 1 == *count
    {
        std::process::abort();
    }
}

/// Release builds have no such places.
#[cfg(not(debug_assertions))]
pub fn hit(_name: &str) {}
