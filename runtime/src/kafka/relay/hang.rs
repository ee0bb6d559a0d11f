//! Finds out that a session's thread does not come back from a call into librdkafka.
//!
//! Every call has a timeout, but that of `rd_kafka_send_offsets_to_transaction` is never looked at (librdkafka's issue
//! 5456): when the group's coordinator goes away at the wrong moment, it waits for ever. Nobody can free the thread then,
//! and what it holds, a member of the group and a transactional id, is free for a successor only when the process ends.

use std::time::Duration;

const LOOK: Duration = Duration::from_secs(1);
/// Longer than any call takes whose timeout holds, many times over.
const SILENCE: Duration = Duration::from_secs(30);
/// Looks in a row. All steps of a transaction and of the start of a session together take less.
const LOOKS: u32 = 60;

/// Resolves when there has been no poll for long. Looks are counted, since a process that was frozen has not polled
/// either, and will.
pub(super) async fn hangs(since_poll: impl Fn() -> Duration) {
    let mut silent = 0;
    while silent < LOOKS {
        tokio::time::sleep(LOOK).await;
        silent = if since_poll() > SILENCE { silent + 1 } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const ALWAYS: Duration = Duration::from_hours(1);

    /// How many looks it takes when the answers are these, and the last one for ever; none if it never ends.
    async fn looks(answers: &[Duration]) -> Option<usize> {
        let asked = Cell::new(0);
        let since_poll = || {
            let at = asked.replace(asked.get() + 1);
            *answers.get(at).or(answers.last()).unwrap()
        };
        tokio::time::timeout(ALWAYS, hangs(since_poll)).await.ok().map(|()| asked.get())
    }

    #[tokio::test(start_paused = true)]
    async fn a_thread_that_is_slow_or_was_frozen_does_not_hang() {
        let (polled, long) = (Duration::from_millis(50), Duration::from_secs(100));
        assert_eq!(looks(&[polled]).await, None);
        assert_eq!(looks(&[SILENCE]).await, None);
        assert_eq!(looks(&[long, polled]).await, None);
        assert_eq!(looks(&[long]).await, Some(60));
        assert_eq!(looks(&[long, polled, long]).await, Some(62));
    }
}
