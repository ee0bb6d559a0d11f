//! Asks the registry at start until it answers, and again from time to time: for `/readyz`, and because a registry that
//! has lost its data needs our schemas anew.

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
    let health = health.dispensable("the schema registry does not answer; its known ids are used");
    Keeper { registry, subjects, known: Known::Written(framings), health, told: None }.start(shutdown)
}

/// Tells `schemas` the ids of the subjects' schemas, as far as the registry has them.
pub fn keep_read(
    registry: Registry,
    subjects: [Subject; 2],
    schemas: Schemas,
    health: Component,
    shutdown: Shutdown,
) -> Answers {
    let health = health.dispensable("the schema registry does not answer; known schemas are read");
    Keeper { registry, subjects, known: Known::Read(schemas), health, told: None }.start(shutdown)
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
    /// The trouble that the log has been told of.
    told: Option<RegistryError>,
}

impl Keeper {
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

    async fn ask(&self) -> Result<(), RegistryError> {
        for Subject { name, kind, schema } in &self.subjects {
            match &self.known {
                Known::Written(framings) => framings.set(*kind, self.registry.id_of(name, schema).await?),
                Known::Read(schemas) => {
                    let id = self.registry.look_up(name, schema).await?;
                    if let (Some(id), Ok(schema)) = (id, WriterSchema::parse(schema)) {
                        schemas.add(id, &schema);
                    }
                }
            }
        }
        Ok(())
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
        self.health.down(match error {
            RegistryError::Unavailable(_) => "no answer",
            RegistryError::Refused { .. } => "it refuses what we ask",
            RegistryError::NotRegistered(_) => "it lacks this release's schemas",
            RegistryError::Incompatible { .. } => "it holds this release's schemas for incompatible",
        });
        if self.told.as_ref().map(discriminant) != Some(discriminant(&error)) {
            tracing::warn!(%error, "the schema registry does not do its part; trying on");
        }
        self.told = Some(error);
    }
}
