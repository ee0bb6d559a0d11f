//! Which events are in the history: for an audit, which reads and changes nothing.

use std::collections::HashSet;

use uuid::Uuid;

use super::Store;
use super::error::StoreError;

/// Ids asked for in one statement.
const CHUNK: usize = 10_000;

impl Store {
    /// Those of the events whose fact is recorded.
    pub async fn recorded_events(&self, event_ids: &[Uuid]) -> Result<HashSet<Uuid>, StoreError> {
        self.among(event_ids, "SELECT event_id FROM booking_events WHERE event_id = ANY($1)").await
    }

    /// Those of the events whose fact is recorded and whose booking asks nothing more of Stripe: no operation of it waits
    /// or was refused.
    pub async fn settled_events(&self, event_ids: &[Uuid]) -> Result<HashSet<Uuid>, StoreError> {
        let statement = "SELECT e.event_id FROM booking_events e WHERE e.event_id = ANY($1) AND NOT EXISTS \
             (SELECT 1 FROM stripe_operations o WHERE o.booking_id = e.booking_id AND o.state IN ('pending', 'failed'))";
        self.among(event_ids, statement).await
    }

    async fn among(&self, event_ids: &[Uuid], statement: &str) -> Result<HashSet<Uuid>, StoreError> {
        let client = self.client().await?;
        let mut found = HashSet::new();
        for chunk in event_ids.chunks(CHUNK) {
            let rows = client.query(statement, &[&chunk]).await?;
            found.extend(rows.iter().map(|row| row.get::<_, Uuid>(0)));
        }
        Ok(found)
    }
}
