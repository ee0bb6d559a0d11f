//! What has been lying about: operations without an event, facts without a booking.

use std::time::Duration;

use uuid::Uuid;

use super::Store;
use super::error::StoreError;

impl Store {
    /// Bookings with operations that have been pending for longer than `age` and that nobody is trying now.
    ///
    /// Their events are long gone: they are in the DLQ, or an operator asked for them without an event.
    pub async fn forgotten(&self, age: Duration, limit: i64) -> Result<Vec<Uuid>, StoreError> {
        let client = self.client().await?;
        let statement = client
            .prepare_cached(
                "SELECT booking_id FROM stripe_operations WHERE state = 'pending' \
                 AND created_at < now() - $1 * interval '1 second' AND (lease_until IS NULL OR lease_until < now()) \
                 AND (next_sweep_at IS NULL OR next_sweep_at < now()) GROUP BY booking_id ORDER BY min(created_at) LIMIT $2",
            )
            .await?;
        let rows = client.query(&statement, &[&age.as_secs_f64(), &limit]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Keeps the sweeper from a booking's operations for a while, after they failed once more.
    pub async fn postpone(&self, booking_id: Uuid, pause: Duration) -> Result<(), StoreError> {
        let client = self.client().await?;
        client
            .execute(
                "UPDATE stripe_operations SET next_sweep_at = now() + $2 * interval '1 second' \
                 WHERE booking_id = $1 AND state = 'pending'",
                &[&booking_id, &pause.as_secs_f64()],
            )
            .await?;
        Ok(())
    }

    /// Drops facts about payments that turned out to be none of ours.
    pub async fn drop_strays(&self, age: Duration) -> Result<u64, StoreError> {
        let client = self.client().await?;
        let dropped = client
            .execute(
                "DELETE FROM stray_facts WHERE recorded_at < now() - $1 * interval '1 second'",
                &[&age.as_secs_f64()],
            )
            .await?;
        Ok(dropped)
    }
}
