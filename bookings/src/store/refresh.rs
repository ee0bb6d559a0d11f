//! Bringing a locked booking up to date with its facts: fold, price, plan, write.

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use tokio_postgres::types::Json;
use uuid::Uuid;

use super::error::StoreError;
use super::{Store, params, prices};
use crate::fact::{Fact, FactKind};
use crate::fold::{Booking, PaymentStatus, fold};
use crate::plan::{Operation, OperationKind, OperationState, Plan, plan};
use crate::price::Price;

/// Adds a fact to the history. True when it is new.
///
/// Two reports of one happening may differ, in its time or in what they tell: the earliest counts, whichever comes first.
pub(super) async fn insert_fact(tx: &Transaction<'_>, booking_id: Uuid, fact: &Fact) -> Result<bool, StoreError> {
    let statement = tx
        .prepare_cached(
            "INSERT INTO booking_events (event_id, booking_id, event_type, occurred_at, fact) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (event_id) DO UPDATE SET occurred_at = excluded.occurred_at, fact = excluded.fact \
             WHERE (booking_events.occurred_at, booking_events.fact::text) > (excluded.occurred_at, excluded.fact::text) \
             RETURNING xmax = 0",
        )
        .await?;
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
        [&fact.id, &booking_id, &fact.event_type, &fact.occurred_at, &Json(&fact.kind)];
    let row = tx.query_opt(&statement, &values).await?;
    Ok(row.is_some_and(|row| row.get(0)))
}

/// Makes operations pending again that Stripe had refused for good. They look before they act. True when there were any.
pub(super) async fn revive_failed(tx: &Transaction<'_>, booking_id: Uuid) -> Result<bool, StoreError> {
    let statement = tx
        .prepare_cached(
            "UPDATE stripe_operations SET state = 'pending', look_up = true, settled_at = NULL \
             WHERE booking_id = $1 AND state = 'failed'",
        )
        .await?;
    Ok(tx.execute(&statement, &[&booking_id]).await? > 0)
}

impl Store {
    /// Folds, plans and writes. True when operations are pending. The booking's row must be locked.
    pub(super) async fn refresh(&self, tx: &Transaction<'_>, booking_id: Uuid) -> Result<bool, StoreError> {
        let mut facts = load_facts(tx, booking_id).await?;
        let mut booking = fold(&facts);
        if booking.price.is_none() && !booking.details.invitee_uri.is_empty() {
            let priced = self.look_up_price(tx, booking_id, &booking.priced_for).await?;
            insert_fact(tx, booking_id, &priced).await?;
            facts.push(priced);
            booking = fold(&facts);
        }
        let ledger = load_ledger(tx, booking_id).await?;
        let plan = plan(&booking, &ledger);
        // A refund that Stripe will not make is as failed as one that it could not make.
        let refused = |op: &Operation| op.kind == OperationKind::Refund && op.state == OperationState::Failed;
        if booking.payment_status == PaymentStatus::RefundPending && ledger.iter().any(refused) {
            booking.payment_status = PaymentStatus::RefundFailed;
        }
        self.write_plan(tx, booking_id, &booking, &plan).await?;
        write_booking(tx, booking_id, &booking).await?;
        let waiting = |op: &&Operation| op.state == OperationState::Pending && !plan.abandon.contains(&op.id);
        Ok(!plan.begin.is_empty() || ledger.iter().any(|op| waiting(&op)))
    }

    async fn look_up_price(
        &self,
        tx: &Transaction<'_>,
        booking_id: Uuid,
        event_type: &str,
    ) -> Result<Fact, StoreError> {
        let price = prices::get(tx, event_type).await?.unwrap_or_else(|| self.default_price.clone());
        Ok(Fact {
            id: Uuid::new_v5(&booking_id, format!("priced {event_type}").as_bytes()),
            event_type: "booking.priced".to_owned(),
            occurred_at: Timestamp::now(),
            kind: FactKind::Priced { event_type_uri: event_type.to_owned(), price },
        })
    }

    async fn write_plan(
        &self,
        tx: &Transaction<'_>,
        booking_id: Uuid,
        booking: &Booking,
        plan: &Plan,
    ) -> Result<(), StoreError> {
        if !plan.abandon.is_empty() {
            // A try that began between planning and here makes it too late: then the operation runs its course.
            let statement = tx
                .prepare_cached(
                    "UPDATE stripe_operations SET state = 'abandoned', settled_at = now() \
                     WHERE id = ANY($1) AND state IN ('pending', 'failed') AND NOT in_doubt",
                )
                .await?;
            tx.execute(&statement, &[&plan.abandon]).await?;
        }
        for operation in &plan.begin {
            let id = Uuid::now_v7();
            let fields = params::fields(operation.kind, &operation.target, (booking_id, id), booking, &self.terms);
            let statement = tx
                .prepare_cached(
                    "INSERT INTO stripe_operations (id, booking_id, kind, target, idempotency_key, params) \
                     VALUES ($1, $2, $3, $4, $5, $6)",
                )
                .await?;
            let (kind, key) = (operation.kind.as_str(), format!("{id}-1"));
            tx.execute(&statement, &[&id, &booking_id, &kind, &operation.target, &key, &Json(&fields)]).await?;
        }
        Ok(())
    }
}

pub(super) async fn load_facts(tx: &Transaction<'_>, booking_id: Uuid) -> Result<Vec<Fact>, StoreError> {
    let statement = tx
        .prepare_cached("SELECT event_id, event_type, occurred_at, fact FROM booking_events WHERE booking_id = $1")
        .await?;
    let rows = tx.query(&statement, &[&booking_id]).await?;
    rows.iter()
        .map(|row| {
            let Json(kind) = row.try_get::<_, Json<FactKind>>(3)?;
            Ok(Fact { id: row.get(0), event_type: row.get(1), occurred_at: row.get(2), kind })
        })
        .collect()
}

async fn load_ledger(tx: &Transaction<'_>, booking_id: Uuid) -> Result<Vec<Operation>, StoreError> {
    let statement = tx
        .prepare_cached(
            "SELECT id, kind, target, state, NOT in_doubt FROM stripe_operations \
             WHERE booking_id = $1 ORDER BY created_at, id",
        )
        .await?;
    let rows = tx.query(&statement, &[&booking_id]).await?;
    let operation = |row: &tokio_postgres::Row| {
        let (kind, state): (String, String) = (row.get(1), row.get(3));
        Some(Operation {
            id: row.get(0),
            kind: OperationKind::parse(&kind)?,
            target: row.get(2),
            state: OperationState::parse(&state)?,
            harmless: row.get(4),
        })
    };
    // The table's CHECK allows no other words than those we parse.
    Ok(rows.iter().filter_map(operation).collect())
}

async fn write_booking(tx: &Transaction<'_>, booking_id: Uuid, booking: &Booking) -> Result<(), StoreError> {
    let (amount, currency) = match &booking.price {
        Some(Price::Amount { minor, currency }) => (Some(*minor), Some(currency.as_str())),
        Some(Price::Free) | None => (None, None),
    };
    let session = booking.session.as_ref();
    let open = session.filter(|session| session.state == crate::fold::SessionState::Open);
    let url = open.and_then(|session| session.opened.as_ref()?.url.as_deref());
    let intent = session.and_then(|session| match &session.state {
        crate::fold::SessionState::Paid(payment) => Some(payment.intent.as_str()),
        _ => None,
    });
    let details = &booking.details;
    let statement = tx
        .prepare_cached(
            "UPDATE bookings SET reference = coalesce(reference, $2), invitee_uri = nullif($3, ''), event_uri = $4, \
             event_type_uri = $5, event_name = $6, invitee_email = $7, invitee_name = $8, start_time = $9, end_time = $10, \
             status = $11, payment_status = $12, amount_minor = $13, currency = $14, checkout_session_id = $15, \
             checkout_url = $16, payment_intent_id = $17, no_show = $18, updated_at = now() WHERE id = $1 \
             AND (reference, invitee_uri, event_uri, event_type_uri, event_name, invitee_email, invitee_name, start_time, \
             end_time, status, payment_status, amount_minor, currency, checkout_session_id, checkout_url, \
             payment_intent_id, no_show) IS DISTINCT FROM (coalesce(reference, $2), nullif($3, ''), $4, $5, $6, $7, $8, $9, \
             $10, $11, $12, $13, $14, $15, $16, $17, $18)",
        )
        .await?;
    tx.execute(
        &statement,
        &[
            &booking_id,
            &details.reference,
            &details.invitee_uri,
            &details.event_uri,
            &details.event_type_uri,
            &details.event_name,
            &details.email,
            &details.name,
            &details.start_time,
            &details.end_time,
            &booking.status.as_str(),
            &booking.payment_status.as_str(),
            &amount,
            &currency,
            &session.map(|session| session.id.as_str()),
            &url,
            &intent,
            &booking.no_show,
        ],
    )
    .await?;
    Ok(())
}
