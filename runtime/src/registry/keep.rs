//! Asks the registry at start until it answers, and again from time to time: for `/readyz`, and because a registry that
//! has lost its data needs our schemas anew.

use std::collections::HashSet;
use std::mem::discriminant;
use std::time::Duration;

use schemas::codec::WriterSchema;
use tokio::sync::watch;

use super::Subject;
use super::client::{Registry, RegistryError};
use super::framings::Framings;
use super::schemas::Schemas;
use crate::health::Component;
use crate::shutdown::Shutdown;

const RETRY: Duration = Duration::from_secs(1);
const AGAIN: Duration = Duration::from_secs(30);

/// Whether the registry has answered once.
#[derive(Debug)]
pub struct Answers(watch::Receiver<bool>);

impl Answers {
    /// Waits for its first answer; false when shutdown comes first.
    pub async fn wait(mut self, shutdown: &Shutdown) -> bool {
        tokio::select! {
            answered = self.0.wait_for(|answered| *answered) => answered.is_ok(),
            () = shutdown.cancelled() => false,
        }
    }
}

/// Has the subjects' schemas in the registry, and tells `framings` their ids.
pub fn keep_written(
    registry: Registry,
    subjects: [Subject; 2],
    framings: Framings,
    health: Component,
    shutdown: Shutdown,
) -> Answers {
    Keeper::new(registry, subjects, Known::Written(framings), health).start(shutdown)
}

/// Tells `schemas` the ids of the subjects' schemas, as far as the registry has them.
pub fn keep_read(
    registry: Registry,
    subjects: [Subject; 2],
    schemas: Schemas,
    health: Component,
    shutdown: Shutdown,
) -> Answers {
    Keeper::new(registry, subjects, Known::Read(schemas), health).start(shutdown)
}

/// Who is told the ids.
enum Known {
    Written(Framings),
    Read(Schemas),
}

struct Keeper {
    registry: Registry,
    subjects: [Subject; 2],
    known: Known,
    health: Component,
    /// Whether all subjects have been answered for once: from then on a registry that fails only degrades the service.
    has_answered: bool,
    /// The trouble that the log has been told of.
    told: Option<RegistryError>,
    /// The subjects whose compatibility could not be set, as the log has been told.
    unprotected: HashSet<String>,
}

impl Keeper {
    fn new(registry: Registry, subjects: [Subject; 2], known: Known, health: Component) -> Self {
        Self { registry, subjects, known, health, has_answered: false, told: None, unprotected: HashSet::new() }
    }

    fn start(mut self, shutdown: Shutdown) -> Answers {
        let (answered, answers) = watch::channel(false);
        tokio::spawn(async move {
            loop {
                let asked = tokio::select! {
                    asked = self.ask() => asked,
                    () = shutdown.cancelled() => return,
                };
                let pause = if asked.is_ok() { AGAIN } else { RETRY };
                if asked.is_ok() {
                    self.has_answered = true;
                    answered.send_replace(true);
                }
                self.report(asked);
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = shutdown.cancelled() => return,
                }
            }
        });
        Answers(answers)
    }

    /// Asks for every subject, also when one fails: the other kind's events need not wait for it. The first error.
    async fn ask(&mut self) -> Result<(), RegistryError> {
        let mut all = Ok(());
        for subject in self.subjects.clone() {
            let asked = self.ask_for(&subject).await;
            all = all.and(asked);
        }
        all
    }

    async fn ask_for(&mut self, Subject { name, kind, schema }: &Subject) -> Result<(), RegistryError> {
        match &self.known {
            Known::Written(framings) => {
                framings.set(*kind, self.registry.id_of(name, schema).await?);
                self.protect(name).await;
            }
            Known::Read(schemas) => {
                let id = self.registry.look_up(name, schema).await?;
                if let (Some(id), Ok(schema)) = (id, WriterSchema::parse(schema)) {
                    schemas.add(id, &schema);
                }
            }
        }
        Ok(())
    }

    /// A subject without its compatibility takes our schemas all the same, so that is a warning and no more.
    async fn protect(&mut self, subject: &str) {
        match self.registry.protect(subject).await {
            Ok(()) => {
                self.unprotected.remove(subject);
            }
            Err(error) => {
                if self.unprotected.insert(subject.to_owned()) {
                    tracing::warn!(subject, %error, "the compatibility of the schemas cannot be set; trying on");
                }
            }
        }
    }

    /// One line for each change, not for each try.
    fn report(&mut self, asked: Result<(), RegistryError>) {
        let Err(error) = asked else {
            self.health.up();
            if self.told.take().is_some() {
                tracing::info!("the schema registry answers");
            }
            return;
        };
        let [detail, detail_later] = match error {
            RegistryError::Unavailable(_) => ["no answer", "no answer; what it told before is used"],
            RegistryError::Refused { .. } => {
                ["it refuses what we ask", "it refuses what we ask; what it told before is used"]
            }
            RegistryError::NotRegistered(_) | RegistryError::UnknownId(_) => {
                ["it lacks this release's schemas", "it lacks this release's schemas; what it told before is used"]
            }
            RegistryError::Incompatible { .. } => [
                "it holds this release's schemas for incompatible",
                "it holds this release's schemas for incompatible; what it told before is used",
            ],
        };
        match (self.has_answered, &error) {
            (true, _) => self.health.degraded(detail_later),
            // It comes back by itself, and nothing is lost until then.
            (false, RegistryError::Unavailable(_)) => self.health.degraded(match self.known {
                Known::Written(_) => "no answer; events wait in the spool",
                Known::Read(_) => "no answer; no event is read until then",
            }),
            (false, _) => self.health.down(detail),
        }
        if self.told.as_ref().map(discriminant) != Some(discriminant(&error)) {
            tracing::warn!(%error, "the schema registry does not do its part; trying on");
        }
        self.told = Some(error);
    }
}
