//! An operator's wish for a new Checkout session.

use jiff::Timestamp;
use tokio_postgres::types::Json;
use uuid::Uuid;

use super::names::Name;
use super::{StoreError, load, names, sql};
use crate::fact::{Fact, FactKind};
use crate::fold::fold;
use crate::store::Store;

/// The answer to asking for a new Checkout session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckoutRequest {
    /// One will be opened.
    Requested,
    /// There is one.
    AlreadyOpen,
    /// Nothing is due: the booking is confirmed or cancelled, or its payment is on its way.
    NothingDue,
}

impl Store {
    /// Asks for a new Checkout session for a booking whose last one ended unpaid. The processor plans and opens it, since
    /// only it knows the terms of a session.
    pub async fn request_checkout(&self, booking_id: Uuid) -> Result<CheckoutRequest, StoreError> {
        let mut client = self.client().await?;
        let tx = client.transaction().await?;
        sql::prepare(&tx).await?;
        let found = names::find(&tx, &[Name::Id(booking_id)]).await?;
        let booking_id = *found.get(&Name::Id(booking_id)).ok_or(StoreError::UnknownBooking(booking_id))?;
        let mut loaded = load::lock_and_load(&tx, &[booking_id]).await?;
        if loaded.rows.is_empty() {
            return Err(StoreError::Raced("the booking was merged into another one".to_owned()));
        }
        let booking = fold(&loaded.facts.remove(&booking_id).unwrap_or_default());
        if !booking.wants_session {
            return Ok(CheckoutRequest::NothingDue);
        }
        if booking.session.is_some() {
            return Ok(CheckoutRequest::AlreadyOpen);
        }
        let wish = Fact {
            id: Uuid::now_v7(),
            event_type: "checkout.requested".to_owned(),
            occurred_at: Timestamp::now(),
            kind: FactKind::CheckoutRequested,
        };
        let statement = tx.prepare_cached(sql::WRITE_FACTS).await?;
        let (ids, bookings, types) = (vec![wish.id], vec![booking_id], vec![wish.event_type]);
        tx.execute(&statement, &[&ids, &bookings, &types, &vec![wish.occurred_at], &vec![Json(&wish.kind)]]).await?;
        tx.execute("INSERT INTO checkout_requests (booking_id) VALUES ($1) ON CONFLICT DO NOTHING", &[&booking_id])
            .await?;
        tx.commit().await?;
        Ok(CheckoutRequest::Requested)
    }

    /// The bookings for which somebody asked for a new session and nobody has planned one yet.
    pub async fn checkout_requests(&self) -> Result<Vec<Uuid>, StoreError> {
        let client = self.client().await?;
        let statement = client.prepare_cached("SELECT booking_id FROM checkout_requests LIMIT 100").await?;
        Ok(client.query(&statement, &[]).await?.iter().map(|row| row.get(0)).collect())
    }

    /// Forgets a wish that has been planned for.
    pub async fn request_planned(&self, booking_id: Uuid) -> Result<(), StoreError> {
        let client = self.client().await?;
        client.execute("DELETE FROM checkout_requests WHERE booking_id = $1", &[&booking_id]).await?;
        Ok(())
    }
}
