//! The schemas behind the ids that records name.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use schemas::codec::{self, SchemaIds, WriterSchema};
use tokio::sync::Mutex;

use super::client::{Registry, RegistryError};

/// While the registry is away, so long nobody asks again. Many records may wait for the same answer.
const FAILED_FOR: Duration = Duration::from_secs(1);

/// And so long for an id that the registry does not know.
const UNKNOWN_FOR: Duration = Duration::from_secs(5);

/// What a reader knows. Clones share it; an id that was seen once costs no request again.
#[derive(Clone, Debug, Default)]
pub struct Schemas(Arc<State>);

#[derive(Debug, Default)]
struct State {
    registry: Option<Registry>,
    known: ArcSwap<SchemaIds>,
    /// One asks at a time.
    asking: Mutex<Asked>,
}

/// What was asked of late, and in vain.
#[derive(Debug, Default)]
struct Asked {
    failed: Option<(Instant, RegistryError)>,
    unknown: HashMap<u32, Instant>,
}

impl Asked {
    /// The answer to give again without asking.
    fn again(&self, id: u32) -> Option<RegistryError> {
        let unknown = self.unknown.get(&id).filter(|at| at.elapsed() < UNKNOWN_FOR);
        let failed = self.failed.as_ref().filter(|(at, _)| at.elapsed() < FAILED_FOR);
        unknown.map(|_| RegistryError::UnknownId(id)).or_else(|| failed.map(|(_, error)| error.clone()))
    }
}

impl Schemas {
    /// Nothing is known yet. Without a registry nothing ever will be.
    pub fn new(registry: Option<Registry>) -> Self {
        Self(Arc::new(State { registry, ..State::default() }))
    }

    /// What is known by now.
    pub fn known(&self) -> Arc<SchemaIds> {
        self.0.known.load_full()
    }

    /// What is known, the schema of this value with it, unless there is no registry or it is the schema of another's
    /// event. [`RegistryError::UnknownId`] when the registry does not know it either.
    pub async fn of(&self, value: &[u8]) -> Result<Arc<SchemaIds>, RegistryError> {
        let known = self.known();
        let (Some(id), Some(registry)) = (codec::confluent_id(value), &self.0.registry) else { return Ok(known) };
        if known.contains(id) {
            return Ok(known);
        }
        let mut asked = self.0.asking.lock().await;
        let known = self.known();
        if known.contains(id) {
            return Ok(known);
        }
        if let Some(error) = asked.again(id) {
            return Err(error);
        }
        match registry.schema(id).await {
            Ok(Some(text)) => {
                asked.failed = None;
                // Of another's event: then the record is none of ours.
                Ok(WriterSchema::parse(&text).map_or(known, |schema| self.add(id, &schema)))
            }
            Ok(None) => {
                asked.failed = None;
                asked.unknown.retain(|_, at| at.elapsed() < UNKNOWN_FOR);
                let _earlier = asked.unknown.insert(id, Instant::now());
                Err(RegistryError::UnknownId(id))
            }
            Err(error) => {
                asked.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    /// Adds a schema, and returns all.
    pub(super) fn add(&self, id: u32, schema: &WriterSchema) -> Arc<SchemaIds> {
        self.0.known.rcu(|known| {
            let mut all = SchemaIds::clone(known);
            all.insert(id, schema.clone());
            all
        });
        self.known()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_is_unknown_is_not_asked_for_again_at_once() {
        let mut asked = Asked::default();
        assert_eq!(asked.again(7), None);
        let _ = asked.unknown.insert(7, Instant::now());
        assert_eq!(asked.again(7), Some(RegistryError::UnknownId(7)));
        assert_eq!(asked.again(8), None, "another id may be known");
        let away = RegistryError::Unavailable("connection refused".to_owned());
        asked.failed = Some((Instant::now(), away.clone()));
        assert_eq!(asked.again(8), Some(away));
    }
}
