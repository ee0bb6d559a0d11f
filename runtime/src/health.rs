//! What `/readyz` knows: one entry per dependency, kept up to date by whoever talks to it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

/// What is known about one dependency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "status", rename_all = "lowercase")]
pub enum Status {
    /// It works.
    Up,
    /// It does not, and the service does its work all the same.
    Degraded {
        /// What it does instead, and why. Fixed text, as below.
        detail: &'static str,
    },
    /// It does not.
    Down {
        /// Why. Fixed text, so that no address, secret or personal data can get into it.
        detail: &'static str,
    },
}

/// A dependency's entry in `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// How it is.
    #[serde(flatten)]
    pub status: Status,
    /// Numbers beside it, such as how much waits in it.
    #[serde(flatten)]
    pub figures: BTreeMap<&'static str, u64>,
}

/// The state of all dependencies. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Health {
    checks: Arc<Mutex<BTreeMap<&'static str, Check>>>,
}

impl Health {
    /// No dependencies yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a dependency, which is down until it is reported up.
    #[must_use]
    pub fn component(&self, name: &'static str) -> Component {
        let component = Component { health: self.clone(), name, instead: None };
        component.down("not checked yet");
        component
    }

    /// Whether no registered dependency keeps the service from its work.
    pub fn is_ready(&self) -> bool {
        self.snapshot().values().all(|check| !matches!(check.status, Status::Down { .. }))
    }

    /// All dependencies with their state.
    pub fn snapshot(&self) -> BTreeMap<&'static str, Check> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, name: &'static str, change: impl FnOnce(&mut Check)) {
        let mut checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        let unknown = Check { status: Status::Down { detail: "not checked yet" }, figures: BTreeMap::new() };
        change(checks.entry(name).or_insert(unknown));
    }
}

/// The handle with which a dependency's state is reported.
#[derive(Clone, Debug)]
pub struct Component {
    health: Health,
    name: &'static str,
    instead: Option<&'static str>,
}

impl Component {
    /// One that the service can do without once it has been up: an outage then only degrades it, and `/readyz` says
    /// what the service does instead. Before that it may be wrongly configured, and is needed.
    #[must_use]
    pub fn dispensable(self, instead: &'static str) -> Self {
        Self { instead: Some(instead), ..self }
    }

    /// It works.
    pub fn up(&self) {
        self.health.set(self.name, |check| check.status = Status::Up);
    }

    /// It does not work, and the service does its work all the same.
    pub fn degraded(&self, detail: &'static str) {
        self.health.set(self.name, |check| check.status = Status::Degraded { detail });
    }

    /// It does not work.
    pub fn down(&self, detail: &'static str) {
        let instead = self.instead;
        self.health.set(self.name, |check| {
            check.status = match (instead, check.status) {
                (Some(detail), Status::Up | Status::Degraded { .. }) => Status::Degraded { detail },
                _ => Status::Down { detail },
            };
        });
    }

    /// Shows a number beside the state.
    pub fn figure(&self, name: &'static str, value: u64) {
        self.health.set(self.name, |check| {
            let _previous = check.figures.insert(name, value);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_when_every_component_is_up() {
        let health = Health::new();
        assert!(health.is_ready(), "nothing to wait for");
        let (kafka, database) = (health.component("kafka"), health.component("database"));
        assert!(!health.is_ready());
        kafka.up();
        assert!(!health.is_ready());
        database.clone().up();
        assert!(health.is_ready());
        kafka.down("no broker answers");
        assert!(!health.is_ready());
        assert_eq!(health.snapshot()["kafka"].status, Status::Down { detail: "no broker answers" });
    }

    #[test]
    fn a_dispensable_component_is_needed_until_it_was_up() {
        let health = Health::new();
        let kafka = health.component("kafka").dispensable("spooling");
        kafka.down("no broker answers");
        assert!(!health.is_ready());
        kafka.up();
        for _ in 0..2 {
            kafka.down("no broker answers");
            assert!(health.is_ready());
        }
        kafka.figure("records", 3);
        let shown = serde_json::to_string(&health.snapshot()["kafka"]).unwrap();
        assert_eq!(shown, r#"{"status":"degraded","detail":"spooling","records":3}"#);
    }
}
