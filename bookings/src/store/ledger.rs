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
    /// When it was last tried before, if it was: nothing of it was created later than some seconds after that.
    pub last_tried_at: Option<Timestamp>,
    /// An earlier try may have been done at Stripe.
    pub was_in_doubt: bool,
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
                // Until its outcome is known, a try is in doubt: that is what a crash leaves behind.
                "UPDATE stripe_operations AS op SET lease = $3, lease_until = now() + $4 * interval '1 second', \
                 attempts = attempts + 1, first_tried_at = coalesce(first_tried_at, now()), last_tried_at = now(), \
                 in_doubt = true FROM (SELECT id, in_doubt, last_tried_at FROM stripe_operations \
                   WHERE booking_id = $1 AND state = 'pending' AND id <> ALL($2) \
                   AND (lease_until IS NULL OR lease_until < now()) ORDER BY created_at, id LIMIT 1 FOR UPDATE SKIP LOCKED) \
                 AS before WHERE op.id = before.id RETURNING op.id, booking_id, kind, target, idempotency_key, params, \
                 look_up, created_at, first_tried_at, attempts, before.in_doubt, before.last_tried_at",
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
            was_in_doubt: row.get(10),
            last_tried_at: row.get(11),
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
                 params = $3, look_up = false, first_tried_at = now(), in_doubt = true, \
                 lease_until = greatest(lease_until, now() + interval '15 seconds') WHERE id = $1 AND lease = $2 RETURNING idempotency_key",
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

    /// A look at Stripe has shown that no try was ever done: plans anew. False when nobody wants the operation any more.
    pub async fn reconsider(&self, operation: &ClaimedOperation) -> Result<bool, StoreError> {
        let mut client = self.client().await?;
        let tx = client.transaction().await?;
        let booking_id = resolve::by_id(&tx, operation.booking_id).await?;
        let held = "UPDATE stripe_operations SET in_doubt = false WHERE id = $1 AND lease = $2";
        tx.execute(held, &[&operation.id, &operation.lease]).await?;
        self.refresh(&tx, booking_id).await?;
        let wanted = "SELECT state = 'pending' AND lease = $2 FROM stripe_operations WHERE id = $1";
        let wanted = tx.query_one(wanted, &[&operation.id, &operation.lease]).await?.get(0);
        tx.commit().await?;
        Ok(wanted)
    }

    /// Gives the lease back after a try that leaves the operation pending.
    pub async fn release(&self, operation: &ClaimedOperation, end: &TryEnd<'_>) -> Result<(), StoreError> {
        let client = self.client().await?;
        client
            .execute(
                "UPDATE stripe_operations SET lease_until = NULL, look_up = look_up OR $3, in_doubt = $4, error = $5 \
                 WHERE id = $1 AND lease = $2",
                &[&operation.id, &operation.lease, &end.key_is_spent, &end.in_doubt(operation), &end.error],
            )
            .await?;
        Ok(())
    }

    /// Stripe refused the operation for good. It stays in the ledger, and in the booking's state, until an event of the
    /// booking is delivered again.
    pub async fn fail(&self, operation: &ClaimedOperation, end: &TryEnd<'_>) -> Result<(), StoreError> {
        let mut client = self.client().await?;
        let tx = client.transaction().await?;
        let booking_id = resolve::by_id(&tx, operation.booking_id).await?;
        tx.execute(
            "UPDATE stripe_operations SET state = 'failed', lease_until = NULL, settled_at = now(), in_doubt = $3, \
             error = $4 WHERE id = $1 AND lease = $2",
            &[&operation.id, &operation.lease, &end.in_doubt(operation), &end.error],
        )
        .await?;
        self.refresh(&tx, booking_id).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// How a try ended that did not settle its operation.
#[derive(Clone, Copy, Debug)]
pub struct TryEnd<'a> {
    /// What went wrong, without personal data.
    pub error: &'a str,
    /// Stripe may have done it all the same.
    pub may_be_done: bool,
    /// Stripe has saved a failure under the key, which can bring no other answer any more.
    pub key_is_spent: bool,
}

impl TryEnd<'_> {
    fn in_doubt(&self, operation: &ClaimedOperation) -> bool {
        self.may_be_done || operation.was_in_doubt
    }
}
