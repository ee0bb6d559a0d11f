//! The plan: what to ask of Stripe, as the difference between what a booking needs and what the ledger holds.

use uuid::Uuid;

use crate::fold::{Booking, Session, SessionState};
use crate::price::Price;

/// What an operation does at Stripe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationKind {
    /// Open a Checkout session.
    CreateSession,
    /// Expire a Checkout session.
    ExpireSession,
    /// Return a payment in full.
    Refund,
}

impl OperationKind {
    /// As the ledger writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CreateSession => "create_session",
            Self::ExpireSession => "expire_session",
            Self::Refund => "refund",
        }
    }

    /// Reads what [`Self::as_str`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::CreateSession, Self::ExpireSession, Self::Refund].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// How far an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationState {
    /// To be tried, perhaps again.
    Pending,
    /// Stripe did it.
    Done,
    /// Stripe refused it for good; it is tried again only when an event of the booking is delivered again.
    Failed,
    /// Not wanted any more, and surely not done.
    Abandoned,
}

impl OperationState {
    /// As the ledger writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Abandoned => "abandoned",
        }
    }

    /// Reads what [`Self::as_str`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Pending, Self::Done, Self::Failed, Self::Abandoned].into_iter().find(|state| state.as_str() == text)
    }
}

/// An operation of the ledger, as far as planning needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its id.
    pub id: Uuid,
    /// What it does.
    pub kind: OperationKind,
    /// What it does it to: a session, a payment, or the purpose of a new session.
    pub target: String,
    /// How far it is.
    pub state: OperationState,
    /// Surely not done at Stripe: never tried, or every try was refused.
    pub harmless: bool,
}

/// An operation that is to be written to the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewOperation {
    /// What it does.
    pub kind: OperationKind,
    /// See [`Operation::target`].
    pub target: String,
}

/// What is to change in the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Operations to begin.
    pub begin: Vec<NewOperation>,
    /// Operations that nobody needs any more.
    pub abandon: Vec<Uuid>,
    /// Operations that nobody needs any more and that Stripe may have done: another try must look before it acts.
    pub look_up: Vec<Uuid>,
}

/// The target of a new session: its purpose, how many were opened for it before, and the event type that prices it.
fn session_target(booking: &Booking, ledger: &[Operation]) -> String {
    let same = |op: &&Operation| {
        let (slot, priced_for) = parse_session_target(&op.target);
        op.kind == OperationKind::CreateSession
            && op.state == OperationState::Done
            && (slot, priced_for) == (&booking.slot, &booking.priced_for)
    };
    format!("{}#{} {}", booking.slot, ledger.iter().filter(same).count(), booking.priced_for)
}

/// The purpose and the event type of a session's target.
pub fn parse_session_target(target: &str) -> (&str, &str) {
    let (purpose, priced_for) = target.split_once(' ').unwrap_or((target, ""));
    (purpose.split('#').next().unwrap_or_default(), priced_for)
}

/// Compares what the booking needs with the ledger. Pure.
pub fn plan(booking: &Booking, ledger: &[Operation]) -> Plan {
    let mut plan = Plan::default();
    let has = |kind: OperationKind, target: &str| {
        let mut same = ledger.iter().filter(|op| op.kind == kind && op.target == target);
        same.any(|op| op.state != OperationState::Abandoned)
    };
    let mut begin = |kind: OperationKind, target: &str| {
        if !has(kind, target) {
            plan.begin.push(NewOperation { kind, target: target.to_owned() });
        }
    };

    for intent in &booking.refunds_owed {
        begin(OperationKind::Refund, intent);
    }
    let open = || booking.sessions.iter().filter(|session| session.state == SessionState::Open);
    let keep = open().find(|session| booking.wants_session && fits(session, booking));
    for session in open().filter(|session| Some(&session.id) != keep.map(|keep| &keep.id)) {
        begin(OperationKind::ExpireSession, &session.id);
    }
    let target = session_target(booking, ledger);
    // One that we expired ourselves (the booking was off, or another session was kept) was not the customer's chance.
    let ours =
        |session: &Session| session.state == SessionState::Expired && has(OperationKind::ExpireSession, &session.id);
    let fills = |session: &&Session| fits(session, booking) && was_for(session, booking) && !ours(session);
    let opened_before = booking.sessions.iter().any(|session| fills(&session));
    // The price is known by now, unless Calendly has said nothing yet that a price could be read from.
    let payable = matches!(booking.price, Some(Price::Amount { .. }));
    let wants_new = booking.wants_session && payable && keep.is_none() && !opened_before;
    if wants_new {
        begin(OperationKind::CreateSession, &target);
    }
    let is_wanted = |op: &Operation| match op.kind {
        OperationKind::CreateSession => wants_new && op.target == target,
        OperationKind::ExpireSession => open().any(|session| session.id == op.target && Some(session) != keep),
        OperationKind::Refund => booking.refunds_owed.contains(&op.target),
    };
    let alive = ledger.iter().filter(|op| matches!(op.state, OperationState::Pending | OperationState::Failed));
    let (harmless, doubtful): (Vec<&Operation>, Vec<&Operation>) =
        alive.filter(|op| !is_wanted(op)).partition(|op| op.harmless);
    plan.abandon = harmless.iter().map(|op| op.id).collect();
    plan.look_up = doubtful.iter().map(|op| op.id).collect();
    plan
}

/// The session asks for what the booking costs, and its payment would be kept.
fn fits(session: &Session, booking: &Booking) -> bool {
    !booking.past.contains(&session.id)
        && session.opened.as_ref().is_none_or(|opened| opened.priced_for == booking.priced_for)
}

/// The session was opened for the present purpose.
fn was_for(session: &Session, booking: &Booking) -> bool {
    session.opened.as_ref().is_some_and(|opened| opened.slot == booking.slot)
}
