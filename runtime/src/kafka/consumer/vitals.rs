//! Signs of life of a consumer's client, from its polls and from what librdkafka tells about itself every two seconds.
//!
//! A client can lose its brokers for ever (librdkafka's issue 5301: an answer to a metadata request that names no
//! broker), while everything else about it looks well. What gives it away: it has no connection, or no coordinator, or
//! records that have long been there are not read, or does not even ask to be let into its group, though an independent
//! client has no such trouble.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;

use super::flow::Partition;

/// How long a client may be without connection or coordinator, or wait for a record, before it is suspected. Longer
/// than a session, so that the group's own remedies come first.
pub(in crate::kafka) const PATIENCE: Duration = Duration::from_secs(12);

/// How long records that an independent client saw may be left unread by one that had long been waiting for them:
/// perhaps the brokers are just back.
const OVERDUE: Duration = Duration::from_secs(10);

/// librdkafka's states (`rdkafka_cgrp.c`) of a member that waits for the brokers and not for other members, who may take
/// their time: it wants to know its topics before it joins, or, as the group's leader, those of all members; or it has
/// been refused, and will ask again.
const AT_THE_DOOR: [&str; 2] = ["init", "wait-metadata"];

/// A partition that waits for records, and the offset that it waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::kafka) struct Position {
    pub(in crate::kafka) partition: Partition,
    pub(in crate::kafka) next: i64,
}

#[derive(Debug)]
struct State {
    polled: Instant,
    joined: bool,
    /// When librdkafka last reported. Ages are counted up to here: while nobody polls, nothing is known.
    reported: Instant,
    /// When the client last had a connection and its coordinator.
    connected: Instant,
    /// When the client was last cut off, or in its group, or waiting for other members, or refused.
    entered: Instant,
    /// Whether the last report had it waiting for the brokers to let it in.
    at_the_door: bool,
    /// What the brokers answered when it last wanted to be let in.
    refusal: Option<RDKafkaErrorCode>,
    /// Since when each partition has been waiting for the same offset, with nothing read ahead and not paused.
    idle: HashMap<Partition, (i64, Instant)>,
    /// Up to where an independent client saw records, when it did so first for this position.
    seen: HashMap<Partition, (i64, Instant)>,
}

#[derive(Debug)]
pub(in crate::kafka) struct Vitals {
    state: Mutex<State>,
}

impl Vitals {
    pub(in crate::kafka) fn new() -> Self {
        let now = Instant::now();
        let state = State {
            polled: now,
            joined: false,
            reported: now,
            connected: now,
            entered: now,
            at_the_door: true,
            refusal: None,
            idle: HashMap::new(),
            seen: HashMap::new(),
        };
        Self { state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client is about to be polled.
    pub(in crate::kafka) fn polling(&self) {
        self.lock().polled = Instant::now();
    }

    pub(in crate::kafka) fn since_poll(&self) -> Duration {
        self.lock().polled.elapsed()
    }

    /// The group gave this member its partitions, perhaps none.
    pub(in crate::kafka) fn joined(&self) {
        let mut state = self.lock();
        (state.joined, state.entered) = (true, Instant::now());
    }

    /// Takes note of a failed poll. While the client is not in its group, an error of the brokers' own is their answer:
    /// they refuse it, as they would refuse any other that we could make.
    pub(in crate::kafka) fn failed(&self, error: &KafkaError) {
        // librdkafka's own errors are below zero.
        let code = error.rdkafka_error_code().filter(|code| *code as i32 > 0);
        let mut state = self.lock();
        if code.is_none() || !state.at_the_door {
            tracing::debug!(%error, "poll failed");
            return;
        }
        state.entered = Instant::now();
        if std::mem::replace(&mut state.refusal, code) != code {
            tracing::warn!(%error, "the brokers do not let us into our consumer group; asking on");
        }
    }

    /// Whether the brokers do not let the client into its group, and say so.
    pub(in crate::kafka) fn is_refused(&self) -> bool {
        self.lock().refusal.is_some()
    }

    /// Takes a report of librdkafka. `readable`: the partitions that are ours and not paused.
    pub(in crate::kafka) fn take(&self, statistics: &Statistics, readable: &HashSet<Partition>) {
        let group = statistics.cgrp.as_ref();
        let connected = statistics.brokers.values().any(|broker| broker.state == "UP");
        let mut waits = Vec::new();
        for (topic, numbers) in &statistics.topics {
            for partition in numbers.partitions.values() {
                let name = (topic.clone(), partition.partition);
                if partition.fetchq_cnt == 0 && partition.next_offset >= 0 && readable.contains(&name) {
                    waits.push(Position { partition: name, next: partition.next_offset });
                }
            }
        }
        let connected = connected && group.is_some_and(|group| group.state == "up");
        self.update(connected, group.map_or("", |group| &group.join_state), waits, Instant::now());
    }

    fn update(&self, connected: bool, join_state: &str, waits: Vec<Position>, now: Instant) {
        let mut state = self.lock();
        state.joined |= join_state == "steady";
        state.reported = now;
        if connected {
            state.connected = now;
        }
        state.at_the_door = AT_THE_DOOR.contains(&join_state);
        if !(connected && state.at_the_door) {
            state.entered = now;
        }
        if join_state == "steady" {
            state.refusal = None;
        }
        let before = std::mem::take(&mut state.idle);
        for Position { partition, next } in waits {
            let since = before.get(&partition).filter(|(offset, _)| *offset == next).map_or(now, |(_, since)| *since);
            state.idle.insert(partition, (next, since));
        }
        let State { idle, seen, .. } = &mut *state;
        seen.retain(|partition, (end, _)| idle.get(partition).is_some_and(|(next, _)| next < end));
    }

    pub(in crate::kafka) fn has_joined(&self) -> bool {
        self.lock().joined
    }

    /// Whether the client has had no connection, or no coordinator, for too long.
    pub(in crate::kafka) fn is_cut_off(&self) -> bool {
        let state = self.lock();
        state.reported - state.connected > PATIENCE
    }

    /// Whether the client has long been connected and outside of its group, and nobody has told it why.
    pub(in crate::kafka) fn is_left_out(&self) -> bool {
        let state = self.lock();
        state.reported - state.entered > PATIENCE
    }

    /// Partitions that have been waiting for the same record for long: mostly there is none.
    pub(in crate::kafka) fn idle(&self) -> Vec<Position> {
        let state = self.lock();
        let long = state.idle.iter().filter(|(_, (_, since))| state.reported.duration_since(*since) > PATIENCE);
        long.map(|(partition, (next, _))| Position { partition: partition.clone(), next: *next }).collect()
    }

    /// An independent client saw the end of a partition.
    pub(in crate::kafka) fn saw_end(&self, position: &Position, end: i64) {
        if end > position.next {
            self.lock().seen.entry(position.partition.clone()).or_insert_with(|| (end, Instant::now()));
        }
    }

    /// Whether records were seen that are not read yet.
    pub(in crate::kafka) fn has_unread(&self) -> bool {
        !self.lock().seen.is_empty()
    }

    /// Whether records that were seen long ago are still not read.
    pub(in crate::kafka) fn leaves_records(&self) -> bool {
        let state = self.lock();
        state.seen.values().any(|(_, since)| state.reported.duration_since(*since) > OVERDUE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(next: i64) -> Vec<Position> {
        vec![Position { partition: ("topic".to_owned(), 0), next }]
    }

    fn after(seconds: u64, vitals: &Vitals, connected: bool, waits: Vec<Position>) {
        let now = vitals.lock().reported + Duration::from_secs(seconds);
        vitals.update(connected, "steady", waits, now);
    }

    #[test]
    fn records_that_were_seen_and_stay_unread_are_told() {
        let vitals = Vitals::new();
        after(2, &vitals, true, waits(5));
        assert!(vitals.idle().is_empty(), "not for long yet");
        after(13, &vitals, true, waits(5));
        let idle = vitals.idle();
        assert_eq!(idle, waits(5));
        vitals.saw_end(&idle[0], 5);
        assert!(!vitals.has_unread(), "an idle topic is no reason");
        vitals.saw_end(&idle[0], 6);
        assert!(vitals.has_unread());
        after(20, &vitals, true, waits(5));
        assert!(vitals.leaves_records());
        after(2, &vitals, true, waits(6));
        assert!(!vitals.has_unread() && !vitals.leaves_records(), "read after all");
    }

    #[test]
    fn a_partition_that_is_paused_or_gone_is_forgotten() {
        let vitals = Vitals::new();
        after(2, &vitals, true, waits(5));
        after(13, &vitals, true, waits(5));
        vitals.saw_end(&waits(5)[0], 6);
        after(20, &vitals, true, Vec::new());
        assert!(!vitals.leaves_records());
    }

    #[test]
    fn cut_off_only_when_the_client_itself_says_so_for_long() {
        let vitals = Vitals::new();
        after(2, &vitals, true, Vec::new());
        after(11, &vitals, false, Vec::new());
        assert!(!vitals.is_cut_off());
        after(2, &vitals, false, Vec::new());
        assert!(vitals.is_cut_off());
        after(2, &vitals, true, Vec::new());
        assert!(!vitals.is_cut_off());
    }

    #[test]
    fn left_out_only_when_nobody_but_the_brokers_is_waited_for() {
        let vitals = Vitals::new();
        let now = Instant::now();
        let mut seconds = 0;
        let mut reports = |connected, join_state| {
            for _ in 0..10 {
                seconds += 2;
                vitals.update(connected, join_state, Vec::new(), now + Duration::from_secs(seconds));
            }
            vitals.is_left_out()
        };
        assert!(reports(true, "wait-metadata"));
        assert!(!reports(true, "wait-join"), "another member may be slow");
        assert!(!reports(true, "steady"));
        assert!(!reports(false, "init"), "that is being cut off");
        assert!(reports(true, "init"));
    }

    fn left_out() -> Vitals {
        let vitals = Vitals::new();
        vitals.update(true, "init", Vec::new(), Instant::now());
        vitals.lock().entered -= PATIENCE * 2;
        assert!(vitals.is_left_out());
        vitals
    }

    #[test]
    fn who_has_just_joined_is_not_left_out() {
        let vitals = left_out();
        vitals.joined();
        assert!(!vitals.is_left_out(), "before the next report");
    }

    #[test]
    fn who_is_refused_is_not_left_out() {
        let vitals = left_out();
        let failed = |code| vitals.failed(&KafkaError::MessageConsumption(code));
        failed(RDKafkaErrorCode::AllBrokersDown);
        assert!(vitals.is_left_out() && !vitals.is_refused(), "nobody answered");
        failed(RDKafkaErrorCode::InconsistentGroupProtocol);
        assert!(!vitals.is_left_out() && vitals.is_refused());
        vitals.update(true, "steady", Vec::new(), Instant::now());
        failed(RDKafkaErrorCode::TopicAuthorizationFailed);
        assert!(!vitals.is_refused(), "it is in the group after all");
    }
}
