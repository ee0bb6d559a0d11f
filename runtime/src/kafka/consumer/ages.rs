//! How long the oldest unfinished record of each topic has been waiting.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::metrics::CONSUMER_OLDEST;

/// Since when there has been something in a topic of which nothing is in memory.
#[derive(Debug, Default)]
pub(super) struct Ages {
    unread_since: Mutex<HashMap<String, Instant>>,
}

impl Ages {
    /// Shows the age of each topic. `lags`: what its group has not finished. `written`: when the oldest of it that is in
    /// memory was written, in milliseconds since 1970.
    pub(super) fn show(&self, lags: &HashMap<&str, i64>, written: &HashMap<Arc<str>, i64>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        for (topic, lag) in lags {
            let age = self.age(topic, *lag, written.get(*topic).copied(), now, Instant::now());
            metrics::gauge!(CONSUMER_OLDEST, "topic" => (*topic).to_owned()).set(age.as_secs_f64());
        }
    }

    fn age(&self, topic: &str, lag: i64, written: Option<i64>, now: Duration, instant: Instant) -> Duration {
        let mut unread_since = self.unread_since.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(written) = written.and_then(|millis| u64::try_from(millis).ok()) {
            unread_since.remove(topic);
            return now.saturating_sub(Duration::from_millis(written));
        }
        if lag <= 0 {
            unread_since.remove(topic);
            return Duration::ZERO;
        }
        // It is at least as old as the time for which we have known of it.
        instant.saturating_duration_since(*unread_since.entry(topic.to_owned()).or_insert(instant))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_memory_tells_and_else_how_long_we_have_known() {
        let (ages, start) = (Ages::default(), Instant::now());
        let now = Duration::from_secs(1_000_000);
        let seconds = Duration::from_secs;
        let age = |lag, written, after| ages.age("t", lag, written, now, start + seconds(after));
        assert_eq!(age(0, None, 0), seconds(0));
        assert_eq!(age(3, None, 1), seconds(0));
        assert_eq!(age(3, None, 8), seconds(7), "it is there and is not read");
        assert_eq!(age(3, Some(999_940_000), 9), seconds(60));
        assert_eq!(age(3, Some(1_000_000_500), 9), seconds(0), "a clock that is ahead");
        assert_eq!(age(3, None, 20), seconds(0), "it was read meanwhile");
        assert_eq!(age(0, None, 30), seconds(0));
    }
}
