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
    /// It does not.
    Down {
        /// Why. Fixed text, so that no address, secret or personal data can get into it.
        detail: &'static str,
    },
}

/// The state of all dependencies. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Health {
    checks: Arc<Mutex<BTreeMap<&'static str, Status>>>,
}

impl Health {
    /// No dependencies yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a dependency, which is down until it is reported up.
    #[must_use]
    pub fn component(&self, name: &'static str) -> Component {
        let component = Component { health: self.clone(), name };
        component.down("not checked yet");
        component
    }

    /// Whether every registered dependency is up.
    pub fn is_ready(&self) -> bool {
        self.snapshot().values().all(|status| *status == Status::Up)
    }

    /// All dependencies with their state.
    pub fn snapshot(&self) -> BTreeMap<&'static str, Status> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, name: &'static str, status: Status) {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner).insert(name, status);
    }
}

/// The handle with which a dependency's state is reported.
#[derive(Clone, Debug)]
pub struct Component {
    health: Health,
    name: &'static str,
}

impl Component {
    /// It works.
    pub fn up(&self) {
        self.health.set(self.name, Status::Up);
    }

    /// It does not work.
    pub fn down(&self, detail: &'static str) {
        self.health.set(self.name, Status::Down { detail });
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
        assert_eq!(health.snapshot()["kafka"], Status::Down { detail: "no broker answers" });
    }
}
