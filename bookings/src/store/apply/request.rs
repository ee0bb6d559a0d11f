//! What can be asked of a booking, and the answer.

use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use super::super::params::Fields;
use super::operation::Entry;
use crate::fact::{Details, Fact};
use crate::fold::Turnover;
use crate::plan::OperationKind;

/// How long a process may try an operation before another one may. Longer than a request to Stripe may take.
pub const LEASE: Duration = Duration::from_secs(15);

/// Which booking a request is about.
#[derive(Clone, Debug)]
pub enum Subject {
    /// The one that this invitee belongs to; created when nobody has heard of it.
    Invitee(Box<Details>),
    /// The one that Stripe's metadata names; it must exist, sooner or later.
    Booking(Uuid),
    /// The one with this id, if it is one of ours: other products on the same Stripe account have references too.
    Perhaps(Uuid),
    /// The one that was paid with this payment intent. While no booking is known for it, its facts are set aside.
    Payment(String),
}

/// One thing to be done to one booking: facts to add, or the end of a try to write down, or neither, to see what is left
/// to do.
#[derive(Clone, Debug)]
pub struct Request {
    /// The booking.
    pub subject: Subject,
    /// What happened; a known fact changes nothing.
    pub facts: Vec<Fact>,
    /// How a try ended.
    pub report: Option<Report>,
    /// Operations that the caller has tried and does not want again.
    pub tried: Vec<Uuid>,
    /// A known fact comes from a routine that sends many again, and so is nobody's word that what Stripe had refused may
    /// work now.
    pub is_routine: bool,
}

impl Request {
    /// An event that was delivered.
    pub fn event(subject: Subject, fact: Fact) -> Self {
        Self { subject, facts: vec![fact], report: None, tried: Vec::new(), is_routine: false }
    }

    /// The same, of one that was fetched because its delivery may not have come.
    pub fn backfilled(subject: Subject, fact: Fact) -> Self {
        Self { is_routine: true, ..Self::event(subject, fact) }
    }

    /// Asks for what is left to do.
    pub fn work(booking_id: Uuid, tried: &[Uuid]) -> Self {
        let (subject, tried) = (Subject::Booking(booking_id), tried.to_vec());
        Self { subject, facts: Vec::new(), report: None, tried, is_routine: false }
    }

    /// The end of a try, and what it brought to light.
    pub fn report(operation: &ClaimedOperation, end: TryEnd, facts: Vec<Fact>, tried: &[Uuid]) -> Self {
        let report =
            Report { operation_id: operation.id, lease: operation.lease, was_in_doubt: operation.was_in_doubt, end };
        Self { facts, report: Some(report), ..Self::work(operation.booking_id, tried) }
    }
}

/// A try of an operation came to an end.
#[derive(Clone, Debug)]
pub struct Report {
    pub(super) operation_id: Uuid,
    pub(super) lease: Uuid,
    pub(super) was_in_doubt: bool,
    pub(super) end: TryEnd,
}

impl Report {
    /// The caller goes on with the operation, if it is still wanted and still theirs.
    pub(super) fn keeps(&self, entry: &Entry) -> bool {
        let goes_on = matches!(self.end, TryEnd::NotThere | TryEnd::Waiting);
        goes_on && entry.id == self.operation_id && entry.is_held_under(self.lease)
    }
}

/// How a try ended.
#[derive(Clone, Debug)]
pub enum TryEnd {
    /// Stripe did it, now or earlier.
    Done,
    /// It came to nothing for now. The operation stays pending, free for the next try.
    Released(Failure),
    /// Stripe refused it for good. It stays in the ledger, and in the booking's state, until an event of the booking is
    /// delivered again.
    Refused(Failure),
    /// A look at Stripe has shown that no try was ever done. If it is still wanted, it comes back under a new key.
    NotThere,
    /// It has not begun yet, because of the rate limit: the lease is to start anew.
    Waiting,
}

/// Why a try came to nothing.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What went wrong, without personal data.
    pub error: String,
    /// Stripe may have done it all the same.
    pub may_be_done: bool,
    /// Stripe has saved a failure under the key, which can bring no other answer any more.
    pub key_is_spent: bool,
}

/// What a request led to.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The booking; `None` when a fact about an unknown payment was set aside.
    pub booking_id: Option<Uuid>,
    /// A fact of the request was new.
    pub is_new: bool,
    /// An operation that the caller alone may try until its lease runs out. It has to end in a report, whose answer
    /// brings the next one.
    pub operation: Option<ClaimedOperation>,
    /// Others are trying operations of this booking; the first of their leases runs out after this long.
    pub busy: Option<Duration>,
    /// Money of the booking that the transaction was the first to know of. Of the requests of one booking, one has all.
    pub turnover: Turnover,
}

/// An operation that the caller alone may try until the lease runs out.
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
    pub(super) lease: Uuid,
}
