//! The schemas behind the ids that records name.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use schemas::codec::{self, SchemaIds, WriterSchema};
use tokio::sync::Mutex;

use super::client::{Registry, RegistryError};

/// While the registry is away, so long nobody asks again. Many records may wait for the same answer.
const FAILED_FOR: Duration = Duration::from_secs(1);

/// What a reader knows. Clones share it; an id that was seen once costs no request again.
#[derive(Clone, Debug, Default)]
pub struct Schemas(Arc<State>);

#[derive(Debug, Default)]
struct State {
    registry: Option<Registry>,
    known: ArcSwap<SchemaIds>,
    /// One asks at a time; when the last one failed, and of what.
    asking: Mutex<Option<(Instant, RegistryError)>>,
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

    /// What is known, the schema of this value with it, unless the registry does not know it either.
    pub async fn of(&self, value: &[u8]) -> Result<Arc<SchemaIds>, RegistryError> {
        let known = self.known();
        let (Some(id), Some(registry)) = (codec::confluent_id(value), &self.0.registry) else { return Ok(known) };
        if known.contains(id) {
            return Ok(known);
        }
        let mut failed = self.0.asking.lock().await;
        let known = self.known();
        if known.contains(id) {
            return Ok(known);
        }
        if let Some((at, error)) = &*failed
            && at.elapsed() < FAILED_FOR
        {
            return Err(error.clone());
        }
        match registry.schema(id).await {
            Ok(schema) => {
                *failed = None;
                // Of another's event: then the record is none of ours.
                Ok(schema
                    .and_then(|text| WriterSchema::parse(&text).ok())
                    .map_or(known, |schema| self.add(id, &schema)))
            }
            Err(error) => {
                *failed = Some((Instant::now(), error.clone()));
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
