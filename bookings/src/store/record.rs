//! Recording a fact: the history and everything that follows from it change in one transaction.

use uuid::Uuid;

use super::error::StoreError;
use super::{Store, refresh, resolve};
use crate::fact::{Details, Fact};

/// Which booking a fact is about.
#[derive(Clone, Debug)]
pub enum Subject {
    /// The one that this invitee belongs to; created when nobody has heard of it.
    Invitee(Box<Details>),
    /// The one that Stripe's metadata names; it must exist.
    Booking(Uuid),
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
            Subject::Booking(id) => resolve::by_id(&tx, *id).await?,
        };
        let is_new = refresh::insert_fact(&tx, booking_id, fact).await?;
        refresh::revive_failed(&tx, booking_id).await?;
        let has_work = self.refresh(&tx, booking_id).await?;
        tx.commit().await?;
        Ok(Recorded { booking_id, is_new, has_work })
    }
}
