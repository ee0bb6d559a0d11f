//! Keeps `/readyz` truthful about the consumer, and finds out that its client is wedged.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::vitals::{Position, Vitals};
use crate::health::Component;
use crate::kafka::config::KafkaConfig;
use crate::kafka::probe::Witness;

const INTERVAL: Duration = Duration::from_millis(250);
/// How often a second opinion is asked for, while there is a suspicion.
const ASK: Duration = Duration::from_secs(5);
/// How often in a row another client must be served: brokers that are just back get ten seconds to be found again, also
/// by a process that gets little of its machine.
const ENOUGH: u32 = 3;
/// How often whether there is anything to read, while nothing is read: most often because there is nothing.
const ASK_IDLE: Duration = Duration::from_secs(15);
/// The longest time without a poll: a rebalance may drain for some time.
const MAX_SILENCE: Duration = Duration::from_secs(30);
/// Partitions that are asked about at once.
const SAMPLE: usize = 8;

const UNREAD: &str = "does not read records that are there";

/// A client that is to be replaced.
pub(in crate::kafka) struct Wedged {
    /// What is wrong with it.
    pub(in crate::kafka) problem: &'static str,
    /// Whether it ever got to work.
    pub(in crate::kafka) worked: bool,
}

pub(in crate::kafka) struct Watch {
    config: KafkaConfig,
    group: String,
    topics: Vec<String>,
    health: Component,
    vitals: Arc<Vitals>,
    /// How often in a row another client was served while ours was cut off or left out.
    served: u32,
}

impl Watch {
    pub(in crate::kafka) fn new(
        config: &KafkaConfig,
        group: &str,
        topics: &[String],
        health: Component,
        vitals: Arc<Vitals>,
    ) -> Self {
        Self { config: config.clone(), group: group.to_owned(), topics: topics.to_vec(), health, vitals, served: 0 }
    }

    /// Resolves when the client is wedged: it makes no progress, and another one shows that it could.
    pub(in crate::kafka) async fn until_wedged(mut self) -> Wedged {
        let mut asked = Instant::now();
        loop {
            self.report();
            tokio::time::sleep(INTERVAL).await;
            let outside = self.outside().is_some();
            if !outside {
                self.served = 0;
            }
            let suspicious = outside || self.vitals.has_unread();
            if asked.elapsed() < if suspicious { ASK } else { ASK_IDLE } {
                continue;
            }
            asked = Instant::now();
            if let Some(problem) = self.find_wedged().await {
                self.health.down("makes no progress; being built anew");
                return Wedged { problem, worked: self.vitals.has_joined() };
            }
        }
    }

    fn report(&self) {
        let problem = if self.vitals.since_poll() > MAX_SILENCE {
            Some("does not poll")
        } else if self.vitals.is_refused() && !self.vitals.is_cut_off() {
            Some("is not let into its group by the brokers; the log says why")
        } else if let Some(problem) = self.outside() {
            Some(problem)
        } else if self.vitals.leaves_records() {
            Some(UNREAD)
        } else if !self.vitals.has_joined() {
            Some("has not got its partitions yet")
        } else {
            None
        };
        match problem {
            Some(problem) => self.health.down(problem),
            None => self.health.up(),
        }
    }

    /// What keeps the client from its group, if it is something between it and the brokers.
    fn outside(&self) -> Option<&'static str> {
        if self.vitals.is_cut_off() {
            Some("has no connection to its brokers or its coordinator")
        } else if self.vitals.is_left_out() {
            Some("does not get to join its group")
        } else {
            None
        }
    }

    /// What the client's fault is, if it is the client's.
    async fn find_wedged(&mut self) -> Option<&'static str> {
        if self.vitals.leaves_records() {
            return Some(UNREAD);
        }
        let (outside, left_out) = (self.outside().is_some(), self.vitals.is_left_out());
        let idle: Vec<Position> = sample(self.vitals.idle());
        if !outside && idle.is_empty() {
            return None;
        }
        let (config, group, topics) = (self.config.clone(), self.group.clone(), self.topics.clone());
        let asked = tokio::task::spawn_blocking(move || {
            // A new client each time: what has befallen ours may have befallen any that is as old.
            let witness = Witness::new(&config, Some(&group))?;
            let serves = outside
                && topics.first().is_some_and(|topic| witness.group_is_served(topic))
                // Without any topic there is nothing to join for.
                && (!left_out || topics.iter().any(|topic| witness.topic_is_known(topic)));
            // Ends with the first that has no answer: each may take seconds.
            let ends = idle.into_iter().map_while(|position| {
                let (topic, partition) = &position.partition;
                let end = witness.end(topic, *partition)?;
                Some((position, end))
            });
            Some((serves, ends.collect::<Vec<_>>()))
        });
        let (serves, ends) = asked.await.ok().flatten().unwrap_or_default();
        for (position, end) in ends {
            self.vitals.saw_end(&position, end);
        }
        self.served = if serves { self.served + 1 } else { 0 };
        if self.served >= ENOUGH { self.outside() } else { None }
    }
}

/// Some of the partitions, others each time.
fn sample(mut positions: Vec<Position>) -> Vec<Position> {
    while positions.len() > SAMPLE {
        positions.swap_remove(rand::random_range(..positions.len()));
    }
    positions
}
