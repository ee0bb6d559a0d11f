//! Sends what is in the spool, oldest first, and finds out by that whether Kafka is back.
//!
//! It goes through the spool in sweeps. What is not delivered stays behind and is tried again in the next sweep, so that
//! an entry that cannot arrive, as for a topic that is gone, holds neither the others up nor the way to Kafka closed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use runtime::kafka::{Delivered, Producer, SendError, end_publish_span, publish_span};
use runtime::registry::Framings;
use runtime::shutdown::Shutdown;
use runtime::telemetry::continue_trace;
use schemas::headers::names::TRACEPARENT;
use tokio::time::Instant;

use super::told::Told;
use super::window::{Wanted, Window};
use super::{Entry, Spool};
use crate::publish::Link;

/// What is under way at once. Live records have the rest of the producer's queue.
const WINDOW_RECORDS: usize = 256;
const WINDOW_BYTES: usize = 1024 * 1024;
/// While Kafka is away, beside the oldest entry: the newest are most like the deliveries that are coming in, which are
/// what has to find Kafka again.
const PROBES: usize = 3;
/// Between two tries while Kafka does not take anything.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Between two sweeps when some entries stayed behind, and when those are all refused.
const SWEEP_PAUSE: Duration = Duration::from_secs(5);
const REFUSED_PAUSE: Duration = Duration::from_secs(30);
/// How often metrics and `/readyz` are brought up to date at least.
const SHOW: Duration = Duration::from_secs(1);
/// Topics that are passed by in one sweep. There are fewer.
const MOST_TOPICS: usize = 64;

/// Sends until shutdown. What was not acknowledged by then stays in the spool, also when it was sent.
pub(crate) async fn drain(spool: Spool, producer: Producer, link: Link, framings: Framings, shutdown: Shutdown) {
    let mut drain = Drain { spool, producer, link, framings, sweep: Sweep::default(), told: Told::default() };
    tokio::select! {
        () = drain.run() => {}
        () = shutdown.cancelled() => {}
    }
}

struct Drain {
    spool: Spool,
    producer: Producer,
    link: Link,
    framings: Framings,
    sweep: Sweep,
    told: Told,
}

/// One way through the spool.
#[derive(Default)]
struct Sweep {
    /// The next id.
    from: u64,
    /// Topics of which a whole window's entries did not arrive; the rest of theirs need not wait for the same.
    passed: BTreeSet<String>,
    /// Something was not delivered, and not refused either.
    has_missed: bool,
    /// When the next one begins, once the end was seen.
    until: Option<Instant>,
}

/// What became of a window.
#[derive(Default)]
struct Outcome {
    delivered: Vec<u64>,
    /// The topics, and whether one of their entries arrived or was refused, which is an answer as well.
    topics: BTreeMap<String, bool>,
    /// The first entry that the producer's queue had no room for.
    no_room: Option<u64>,
}

impl Outcome {
    fn is_answered(&self) -> bool {
        self.no_room.is_none() && self.topics.values().any(|answered| *answered)
    }
}

impl Drain {
    async fn run(&mut self) {
        let mut pause = FIRST_PAUSE;
        let mut framed = self.framings.all();
        loop {
            self.spool.state.show();
            let now = self.framings.all();
            if now != framed {
                // What waited for an id may go.
                (framed, self.sweep) = (now, Sweep::default());
            }
            let was_away = self.link.is_away();
            let Ok(window) = self.spool.read(self.wanted(was_away)).await else {
                pause = rest(pause).await;
                continue;
            };
            if window.entries.is_empty() {
                pause = FIRST_PAUSE;
                self.end(&window).await;
                continue;
            }
            let outcome = self.send(&window).await;
            if was_away && !self.link.is_away() {
                // All that was tried in vain meanwhile, in its order.
                self.sweep = Sweep::default();
            } else if was_away && window.is_last {
                self.sweep = Sweep::default();
            } else {
                self.sweep.from = outcome.no_room.unwrap_or(window.next);
            }
            pause = if outcome.is_answered() { FIRST_PAUSE } else { rest(pause).await };
        }
    }

    fn wanted(&self, is_away: bool) -> Wanted {
        let (count, newest) = if is_away { (1, PROBES) } else { (WINDOW_RECORDS, 0) };
        Wanted { from: self.sweep.from, count, bytes: WINDOW_BYTES, but: self.sweep.passed.clone(), newest }
    }

    /// At the end of the spool, waits for new entries, and begins anew when some stayed behind.
    async fn end(&mut self, window: &Window) {
        self.sweep.from = window.next;
        if !window.is_last {
            return;
        }
        let pause = if self.sweep.has_missed { SWEEP_PAUSE } else { REFUSED_PAUSE };
        let until = *self.sweep.until.get_or_insert_with(|| Instant::now() + pause);
        if Instant::now() >= until {
            self.sweep = Sweep::default();
        }
        // What comes now is behind the end, and sent at once.
        let _ = tokio::time::timeout(SHOW, self.spool.state.appended.notified()).await;
    }

    /// Sends the entries in their order and takes out those that are in Kafka.
    async fn send(&mut self, window: &Window) -> Outcome {
        let mut outcome = Outcome::default();
        let mut entries = Vec::with_capacity(window.entries.len());
        for (id, bytes) in &window.entries {
            let Some(entry) = Entry::decode(bytes) else {
                self.told.unreadable(*id);
                continue;
            };
            // It may have been spooled before the schema registry was heard of.
            match self.framings.apply(entry.value) {
                Some(value) => entries.push((*id, Entry { value, ..entry })),
                None => self.wait_for_id(entry.topic, &mut outcome),
            }
        }
        let sends = entries.iter().map(async |(_, entry)| {
            let sent = self.producer.send(&entry.outgoing()).await;
            // At once: the others of the window may take as long as they are given.
            if matches!(sent, Ok(_) | Err(SendError::Refused(_))) {
                self.link.found();
            }
            sent
        });
        let sent = join_all(sends).await;
        for ((id, entry), sent) in entries.iter().zip(sent) {
            self.note(*id, entry, sent, &mut outcome);
        }
        self.pass_by(&outcome);
        if !outcome.delivered.is_empty() {
            self.spool.remove(outcome.delivered.clone()).await;
        }
        outcome
    }

    /// Leaves an entry for a later sweep. A topic of which a whole window waits is passed by, as if it had not arrived.
    fn wait_for_id(&mut self, topic: &str, outcome: &mut Outcome) {
        self.sweep.has_missed = true;
        outcome.topics.entry(topic.to_owned()).or_default();
    }

    fn note(&mut self, id: u64, entry: &Entry<'_>, sent: Result<Delivered, SendError>, outcome: &mut Outcome) {
        let is_answer = match sent {
            Ok(delivered) => {
                trace(entry, delivered);
                outcome.delivered.push(id);
                self.told.delivered(id, entry.topic);
                true
            }
            Err(error @ SendError::Refused(_)) => {
                self.told.refused(id, entry, &error);
                true
            }
            Err(SendError::QueueFull) => {
                outcome.no_room = Some(outcome.no_room.map_or(id, |first| first.min(id)));
                return;
            }
            Err(error @ SendError::NotDelivered(_)) => {
                self.sweep.has_missed = true;
                if !self.link.is_away() {
                    self.told.missed(entry.topic, &error);
                }
                false
            }
        };
        *outcome.topics.entry(entry.topic.to_owned()).or_default() |= is_answer;
    }

    fn pass_by(&mut self, outcome: &Outcome) {
        let missed = outcome.topics.iter().filter(|(_, answered)| !**answered);
        let room = MOST_TOPICS.saturating_sub(self.sweep.passed.len());
        self.sweep.passed.extend(missed.take(room).map(|(topic, _)| topic.clone()));
    }
}

/// A record's way from the spool to Kafka, as a moment in its trace. The tries before it, of which there may be one a
/// second for hours, are not worth a span each.
fn trace(entry: &Entry<'_>, delivered: Delivered) {
    let span = publish_span(entry.topic);
    if !span.is_disabled() {
        continue_trace(&span, Some(entry.header(TRACEPARENT)));
        end_publish_span(&span, Ok(&delivered));
    }
}

async fn rest(pause: Duration) -> Duration {
    tokio::time::sleep(pause).await;
    (pause * 2).min(LONGEST_PAUSE)
}
