//! The fold: a booking's state as a pure function of the set of its facts. No clock, no I/O.
//!
//! Facts about a Checkout session or a refund only ever move forward (open → paid, pending → succeeded → failed), so
//! they are joined per session and per refund, whatever their order. What is left, the timeline of bookings,
//! reschedules, payments and cancellations, is put in the order in which it happened and walked once.

mod money;
mod timeline;
mod turnover;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use self::money::Ledger;
pub use self::money::{Session, SessionState};
use self::timeline::Walk;
pub use self::turnover::Turnover;
use crate::fact::{Details, Fact, FactKind};
use crate::price::Price;

/// `bookings.status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Money is due.
    PendingPayment,
    /// The appointment stands.
    Confirmed,
    /// The appointment is off.
    Canceled,
}

impl Status {
    /// As the database and the contract write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PendingPayment => "PENDING_PAYMENT",
            Self::Confirmed => "CONFIRMED",
            Self::Canceled => "CANCELED",
        }
    }
}

/// `bookings.payment_status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaymentStatus {
    /// Free, or paid at Calendly.
    NotRequired,
    /// Nothing was paid.
    Unpaid,
    /// Paid, and ours to keep.
    Paid,
    /// To be returned; Stripe has not said yet that it is done.
    RefundPending,
    /// Returned.
    Refunded,
    /// The return failed: an operator must look.
    RefundFailed,
}

impl PaymentStatus {
    /// As the database and the contract write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotRequired => "NOT_REQUIRED",
            Self::Unpaid => "UNPAID",
            Self::Paid => "PAID",
            Self::RefundPending => "REFUND_PENDING",
            Self::Refunded => "REFUNDED",
            Self::RefundFailed => "REFUND_FAILED",
        }
    }
}

/// A booking as it follows from its facts.
#[derive(Clone, Debug, PartialEq)]
pub struct Booking {
    /// What Calendly last said about the current invitee.
    pub details: Details,
    /// Whether the appointment stands.
    pub status: Status,
    /// Where the money is.
    pub payment_status: PaymentStatus,
    /// The price, once it is known.
    pub price: Option<Price>,
    /// The event type whose price counts; empty when Calendly did not say.
    pub priced_for: String,
    /// The session to show: the one that was paid, else the one that is open.
    pub session: Option<Session>,
    /// A no-show was marked.
    pub no_show: bool,
    /// Every session, oldest first.
    pub sessions: Vec<Session>,
    /// Payments that are to be returned and of which Stripe has no refund yet.
    pub refunds_owed: BTreeSet<String>,
    /// Names the purpose that a new session would have: it changes when the booking comes back after a cancellation
    /// and when an operator asks for a new session. One session is opened per purpose, so that an expired one is not
    /// replaced for ever.
    pub slot: String,
    /// Sessions that were opened before the booking was cancelled and came back: a payment through them goes back, so they
    /// must not stay open.
    pub past: BTreeSet<String>,
    /// Money is due and none is on its way.
    pub wants_session: bool,
}

/// Folds the facts. The result is the same for every order and any duplication of them.
pub fn fold(facts: &[Fact]) -> Booking {
    let ledger = Ledger::join(facts);
    let walk = Walk::over(facts, &ledger);
    let details = details_of(facts, walk.current.as_deref());
    let price = price_of(facts, &walk.priced_for);
    let covered = facts.iter().any(|fact| matches!(&fact.kind, FactKind::Booked(details) if details.paid_at_calendly));
    let free = covered || price == Some(Price::Free);

    // Money that came although Calendly already had it goes back.
    let kept = walk.kept.clone().filter(|_| !covered);
    let returned: BTreeSet<&str> = ledger.payments().filter(|intent| Some(*intent) != kept.as_deref()).collect();
    let status = match (walk.active, free || kept.is_some()) {
        (false, _) => Status::Canceled,
        (true, true) => Status::Confirmed,
        (true, false) => Status::PendingPayment,
    };
    let payment_status = match &kept {
        Some(intent) => ledger.status_of_kept(intent),
        None if status != Status::Canceled || returned.is_empty() => unpaid(free),
        None => ledger.status_of_returned(&returned),
    };
    let past: BTreeSet<String> = walk.past(&ledger.sessions).map(|session| session.id.clone()).collect();
    let session = shown(&ledger, kept.as_deref(), &returned, status, &past);
    let is_under_way = |session: &Session| session.state == SessionState::Processing && !past.contains(&session.id);
    let processing = ledger.sessions.iter().any(is_under_way);
    let slot = walk.slot();
    Booking {
        details,
        status,
        payment_status,
        price,
        priced_for: walk.priced_for,
        session,
        no_show: no_show(facts),
        refunds_owed: returned.into_iter().filter(|intent| ledger.is_unreturned(intent)).map(str::to_owned).collect(),
        slot,
        past,
        wants_session: status == Status::PendingPayment && !processing && walk.current.is_some(),
        sessions: ledger.sessions,
    }
}

fn unpaid(free: bool) -> PaymentStatus {
    if free { PaymentStatus::NotRequired } else { PaymentStatus::Unpaid }
}

/// The paid session, else the open one. Others are history: two orders of arrival may differ in them.
fn shown(
    ledger: &Ledger,
    kept: Option<&str>,
    returned: &BTreeSet<&str>,
    status: Status,
    past: &BTreeSet<String>,
) -> Option<Session> {
    let paid = |intent: &str| ledger.sessions.iter().find(|session| session.paid_by(intent));
    let is_payable = |session: &&Session| session.state == SessionState::Open && !past.contains(&session.id);
    let open = || ledger.sessions.iter().find(is_payable);
    let shown = match (kept, status) {
        (Some(intent), _) => paid(intent),
        (None, Status::Canceled) => returned.iter().filter_map(|intent| paid(intent)).min_by_key(|s| s.paid_at()),
        (None, Status::PendingPayment) => open(),
        (None, Status::Confirmed) => None,
    };
    shown.cloned()
}

/// What was said about one invitee, the later overriding the earlier where it says anything.
fn details_of(facts: &[Fact], invitee: Option<&str>) -> Details {
    let mut said: Vec<(&Fact, &Details)> = facts.iter().filter_map(|fact| Some((fact, fact.kind.details()?))).collect();
    said.sort_by_key(|(fact, _)| (fact.occurred_at, timeline::rank(&fact.kind), fact.id));
    let mut details = Details { invitee_uri: invitee.unwrap_or_default().to_owned(), ..Details::default() };
    for (_, more) in &said {
        // The caller's own id belongs to the booking, not to one invitee of it.
        details.reference = details.reference.or_else(|| more.reference.clone());
    }
    for (_, more) in said.into_iter().filter(|(_, more)| Some(more.invitee_uri.as_str()) == invitee) {
        let later = more.clone();
        details.event_uri = later.event_uri.or(details.event_uri);
        details.event_type_uri = later.event_type_uri.or(details.event_type_uri);
        details.event_name = later.event_name.or(details.event_name);
        details.email = later.email.or(details.email);
        details.name = later.name.or(details.name);
        details.start_time = later.start_time.or(details.start_time);
        details.end_time = later.end_time.or(details.end_time);
    }
    details
}

/// The price that this booking saw first for the event type: later changes of the list do not touch it.
fn price_of(facts: &[Fact], wanted: &str) -> Option<Price> {
    let prices = facts.iter().filter_map(|fact| match &fact.kind {
        FactKind::Priced { event_type_uri, price } if event_type_uri == wanted => {
            Some(((fact.occurred_at, fact.id), price))
        }
        _ => None,
    });
    prices.min_by_key(|(when, _)| *when).map(|(_, price)| price.clone())
}

fn no_show(facts: &[Fact]) -> bool {
    let mut last: BTreeMap<(Timestamp, bool), bool> = BTreeMap::new();
    for fact in facts {
        if let FactKind::NoShow { marked, .. } = &fact.kind {
            // At a tie the unmarking counts: it needs a marking before it.
            last.insert((fact.occurred_at, !marked), *marked);
        }
    }
    last.pop_last().is_some_and(|(_, marked)| marked)
}
