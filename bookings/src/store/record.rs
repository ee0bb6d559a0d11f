//! Recording a fact: the history and everything that follows from it change in one transaction.

use deadpool_postgres::Client;
use jiff::Timestamp;
use uuid::Uuid;

use super::error::StoreError;
use super::{Store, refresh, resolve};
use crate::fact::{Details, Fact, FactKind};
use crate::fold::fold;

/// Which booking a fact is about.
#[derive(Clone, Debug)]
pub enum Subject {
    /// The one that this invitee belongs to; created when nobody has heard of it.
    Invitee(Box<Details>),
    /// The one that Stripe's metadata names; it must exist, sooner or later.
    Booking(Uuid),
    /// The one with this id, if it is one of ours: other products on the same Stripe account have references too.
    Perhaps(Uuid),
}

/// What recording a fact led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The booking.
    pub booking_id: Uuid,
    /// The fact was new.
    pub is_new: bool,
    /// Operations wait to be done at Stripe.
    pub has_work: bool,
}

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
    /// Records a fact and brings the booking, and the ledger's plan, up to date. Idempotent.
    ///
    /// Operations that Stripe had refused for good become pending again: an event that is delivered once more, from
    /// the DLQ for example, is the operator's word that it may work now.
    pub async fn record(&self, subject: &Subject, fact: &Fact) -> Result<Recorded, StoreError> {
        let mut client = self.client().await?;
        let tx = client.transaction().await?;
        let booking_id = match subject {
            Subject::Invitee(details) => resolve::by_invitee(&tx, details).await?,
            Subject::Booking(id) | Subject::Perhaps(id) => resolve::by_id(&tx, *id).await?,
        };
        let is_new = refresh::insert_fact(&tx, booking_id, fact).await?;
        let mut has_work = self.refresh(&tx, booking_id).await?;
        if !is_new {
            // Only what is still wanted is left by now.
            has_work |= refresh::revive_failed(&tx, booking_id).await?;
        }
        tx.commit().await?;
        Ok(Recorded { booking_id, is_new, has_work })
    }

    /// Asks for a new Checkout session for a booking whose last one ended unpaid. The processor opens it.
    pub async fn request_checkout(&self, booking_id: Uuid) -> Result<CheckoutRequest, StoreError> {
        let mut client = self.client().await?;
        let tx = client.transaction().await?;
        let booking_id = resolve::by_id(&tx, booking_id).await?;
        let booking = fold(&refresh::load_facts(&tx, booking_id).await?);
        if !booking.wants_session {
            return Ok(CheckoutRequest::NothingDue);
        }
        if booking.session.is_some() {
            return Ok(CheckoutRequest::AlreadyOpen);
        }
        let fact = Fact {
            id: Uuid::now_v7(),
            event_type: "checkout.requested".to_owned(),
            occurred_at: Timestamp::now(),
            kind: FactKind::CheckoutRequested,
        };
        refresh::insert_fact(&tx, booking_id, &fact).await?;
        tx.execute("INSERT INTO checkout_requests (booking_id) VALUES ($1) ON CONFLICT DO NOTHING", &[&booking_id])
            .await?;
        tx.commit().await?;
        Ok(CheckoutRequest::Requested)
    }

    /// Plans for the bookings for which somebody asked for a new session, and returns them.
    ///
    /// The request is planned here and not where it is made: only the processor knows the terms of a session.
    pub async fn plan_requested(&self) -> Result<Vec<Uuid>, StoreError> {
        let mut client = self.client().await?;
        let rows = client.query("SELECT booking_id FROM checkout_requests LIMIT 100", &[]).await?;
        let mut planned = Vec::new();
        for row in rows {
            match self.plan_request(&mut client, row.get(0)).await {
                Ok(booking_id) => planned.push(booking_id),
                // One booking that cannot be planned must not keep the others waiting.
                Err(error) => tracing::warn!(%error, "a requested checkout session could not be planned"),
            }
        }
        Ok(planned)
    }

    async fn plan_request(&self, client: &mut Client, requested: Uuid) -> Result<Uuid, StoreError> {
        let tx = client.transaction().await?;
        let booking_id = resolve::by_id(&tx, requested).await?;
        self.refresh(&tx, booking_id).await?;
        tx.execute("DELETE FROM checkout_requests WHERE booking_id = $1", &[&requested]).await?;
        tx.commit().await?;
        Ok(booking_id)
    }
}
