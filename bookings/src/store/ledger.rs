//! Stripe's ledger: who may try an operation, and what came of it.

use std::time::Duration;

use jiff::Timestamp;
use tokio_postgres::types::Json;
use uuid::Uuid;

use super::error::StoreError;
use super::params::{self, Fields};
use super::{Store, refresh, resolve};
use crate::fact::Fact;
use crate::plan::OperationKind;

/// Stripe keeps a key for 24 hours at least; after this long it may execute a key a second time.
const KEY_AGE_SECONDS: i64 = 23 * 60 * 60;

/// An operation that this process alone may try until the lease runs out.
#[derive(Clone, Debug)]
pub struct ClaimedOperation {
    /// Its id, also in the metadata of what it creates.
    pub id: Uuid,
    /// The booking that it was planned for.
    pub booking_id: Uuid,
    /// What it does.
    pub kind: OperationKind,
    /// The session or payment that it does it to; the purpose of a new session.
    pub target: String,
    /// Stripe's `Idempotency-Key`.
    pub idempotency_key: String,
    /// The form fields, exactly as they are to be sent.
    pub params: Fields,
    /// The outcome of earlier tries is unknown and the key can no longer tell: look at Stripe before acting.
    pub look_up: bool,
    /// When it was planned.
    pub created_at: Timestamp,
    lease: Uuid,
}

/// The answer to asking for work.
#[derive(Clone, Debug)]
pub enum Claim {
    /// Try this one.
    Operation(Box<ClaimedOperation>),
    /// Another process is trying the last of them; its lease runs out after this long.
    Busy(Duration),
    /// Nothing is pending.
    Nothing,
}

impl Store {
    /// Claims a pending operation of a booking, apart from `tried`. The try is counted before it is made.
    pub async fn claim(&self, booking_id: Uuid, tried: &[Uuid], lease: Duration) -> Result<Claim, StoreError> {
        let client = self.client().await?;
        let statement = client
            .prepare_cached(
                "UPDATE stripe_operations SET lease = $3, lease_until = now() + $4 * interval '1 second', \
                 attempts = attempts + 1, first_tried_at = coalesce(first_tried_at, now()) WHERE id = ( \
                   SELECT id FROM stripe_operations WHERE booking_id = $1 AND state = 'pending' AND id <> ALL($2) \
                   AND (lease_until IS NULL OR lease_until < now()) ORDER BY created_at, id LIMIT 1 FOR UPDATE SKIP LOCKED) \
                 RETURNING id, booking_id, kind, target, idempotency_key, params, look_up, created_at, first_tried_at, attempts",
            )
            .await?;
        let token = Uuid::new_v4();
        let row = client.query_opt(&statement, &[&booking_id, &tried, &token, &lease.as_secs_f64()]).await?;
        let Some(row) = row else {
            drop(client);
            return Ok(self.busy(booking_id, tried).await?.map_or(Claim::Nothing, Claim::Busy));
        };
        let kind: String = row.get(2);
        let Some(kind) = OperationKind::parse(&kind) else { return Ok(Claim::Nothing) };
        let Json(params) = row.try_get::<_, Json<Fields>>(5)?;
        let (first_tried_at, attempts): (Timestamp, i32) = (row.get(8), row.get(9));
        let now = Timestamp::now();
        let key_is_old = now.as_second() - first_tried_at.as_second() > KEY_AGE_SECONDS;
        let look_up = row.get::<_, bool>(6) || key_is_old || (attempts > 1 && !params::are_fresh(&params, now));
        let operation = ClaimedOperation {
            id: row.get(0),
            booking_id: row.get(1),
            kind,
            target: row.get(3),
            idempotency_key: row.get(4),
            params,
            look_up,
            created_at: row.get(7),
            lease: token,
        };
        // Planned so long ago that Stripe would refuse the expiry, and never tried: nothing to look for.
        if attempts == 1 && !params::are_fresh(&operation.params, now) {
            drop(client);
            return Ok(Claim::Operation(Box::new(self.renew_key(&operation).await?)));
        }
        Ok(Claim::Operation(Box::new(operation)))
    }

    /// Bookings with operations that have been pending for longer than `age` and that nobody is trying now.
    ///
    /// Their events are long gone: they are in the DLQ, or an operator asked for them without an event.
    pub async fn forgotten(&self, age: Duration, limit: i64) -> Result<Vec<Uuid>, StoreError> {
        let client = self.client().await?;
        let rows = client
            .query(
                "SELECT booking_id FROM stripe_operations WHERE state = 'pending' \
                 AND created_at < now() - $1 * interval '1 second' AND (lease_until IS NULL OR lease_until < now()) \
                 AND (next_sweep_at IS NULL OR next_sweep_at < now()) GROUP BY booking_id ORDER BY min(created_at) LIMIT $2",
                &[&age.as_secs_f64(), &limit],
            )
            .await?;
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

    /// For how long others hold the leases of a booking's pending operations; `None` when nobody does.
    pub async fn busy(&self, booking_id: Uuid, tried: &[Uuid]) -> Result<Option<Duration>, StoreError> {
        let client = self.client().await?;
        let row = client
            .query_one(
                "SELECT extract(epoch FROM min(lease_until) - now())::float8 FROM stripe_operations \
                 WHERE booking_id = $1 AND state = 'pending' AND id <> ALL($2) AND lease_until >= now()",
                &[&booking_id, &tried],
            )
            .await?;
        let left: Option<f64> = row.get(0);
        Ok(left.map(|seconds| Duration::from_secs_f64(seconds.clamp(0.0, 3600.0))))
    }

    /// Gives an operation a new key (and a new expiry), after a look at Stripe has shown that it was never done.
    pub async fn renew_key(&self, operation: &ClaimedOperation) -> Result<ClaimedOperation, StoreError> {
        let mut renewed = operation.clone();
        params::refresh(&mut renewed.params, &self.terms, Timestamp::now());
        let client = self.client().await?;
        let row = client
            .query_opt(
                "UPDATE stripe_operations SET keys_used = keys_used + 1, idempotency_key = id::text || '-' || (keys_used + 1), \
                 params = $3, look_up = false, first_tried_at = now() WHERE id = $1 AND lease = $2 RETURNING idempotency_key",
                &[&operation.id, &operation.lease, &Json(&renewed.params)],
            )
            .await?;
        let row = row.ok_or_else(|| StoreError::Unavailable("the lease of a Stripe operation was lost".to_owned()))?;
        renewed.idempotency_key = row.get(0);
        renewed.look_up = false;
        Ok(renewed)
    }

    /// Records what Stripe did, and plans what follows. True when operations are pending. Idempotent.
    pub async fn settle(&self, operation: &ClaimedOperation, facts: &[Fact]) -> Result<bool, StoreError> {
        let mut client = self.client().await?;
        let tx = client.transaction().await?;
        let booking_id = resolve::by_id(&tx, operation.booking_id).await?;
        tx.execute(
            "UPDATE stripe_operations SET state = 'done', settled_at = now(), lease_until = NULL, error = NULL WHERE id = $1",
            &[&operation.id],
        )
        .await?;
        for fact in facts {
            refresh::insert_fact(&tx, booking_id, fact).await?;
        }
        let has_work = self.refresh(&tx, booking_id).await?;
        tx.commit().await?;
        Ok(has_work)
    }

    /// Gives the lease back after a try whose outcome leaves the operation pending. With `look_up` the key is spent:
    /// Stripe has saved a failure under it.
    pub async fn release(&self, operation: &ClaimedOperation, look_up: bool, error: &str) -> Result<(), StoreError> {
        let client = self.client().await?;
        client
            .execute(
                "UPDATE stripe_operations SET lease_until = NULL, look_up = look_up OR $3, error = $4 WHERE id = $1 AND lease = $2",
                &[&operation.id, &operation.lease, &look_up, &error],
            )
            .await?;
        Ok(())
    }

    /// Stripe refused the operation for good. It stays in the ledger, visibly, until an event is delivered again.
    pub async fn fail(&self, operation: &ClaimedOperation, error: &str) -> Result<(), StoreError> {
        let client = self.client().await?;
        client
            .execute(
                "UPDATE stripe_operations SET state = 'failed', lease_until = NULL, settled_at = now(), error = $3 \
                 WHERE id = $1 AND lease = $2",
                &[&operation.id, &operation.lease, &error],
            )
            .await?;
        Ok(())
    }
}
