//! Sessions, payments and refunds, joined from facts that only ever move forward.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::PaymentStatus;
use crate::fact::{Fact, FactKind, RefundStatus, SessionOpened};

/// A payment that a session brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// Stripe's id of the payment intent.
    pub intent: String,
    /// Minor units.
    pub amount: i64,
    /// Currency.
    pub currency: String,
    /// When it is first known to have been paid.
    pub at: Timestamp,
}

/// How far a session is. A later variant wins over an earlier one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// The customer can pay.
    Open,
    /// It ended unpaid.
    Expired,
    /// The customer has done their part; the money is on its way.
    Processing,
    /// The money did not come.
    Failed,
    /// Paid.
    Paid(Payment),
}

/// A Checkout session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Stripe's id.
    pub id: String,
    /// How far it is.
    pub state: SessionState,
    /// How it was opened; absent while only Stripe's webhooks have told of it.
    pub opened: Option<SessionOpened>,
    /// When it was opened, as far as is known.
    pub opened_at: Option<Timestamp>,
}

impl Session {
    /// Whether this payment came through this session.
    pub fn paid_by(&self, intent: &str) -> bool {
        matches!(&self.state, SessionState::Paid(payment) if payment.intent == intent)
    }

    pub(super) fn paid_at(&self) -> Option<Timestamp> {
        match &self.state {
            SessionState::Paid(payment) => Some(payment.at),
            SessionState::Open | SessionState::Expired | SessionState::Processing | SessionState::Failed => None,
        }
    }
}

#[derive(Default)]
struct Parts {
    opened: Option<((Timestamp, Uuid), SessionOpened)>,
    paid: Option<Payment>,
    expired: bool,
    processing: bool,
    failed: bool,
}

struct Refund {
    payment_intent: String,
    amount: i64,
    status: RefundStatus,
}

/// All that is known of the money.
pub(super) struct Ledger {
    /// Oldest first.
    pub(super) sessions: Vec<Session>,
    refunds: BTreeMap<String, Refund>,
    charged_back: BTreeMap<String, i64>,
}

impl Ledger {
    pub(super) fn join(facts: &[Fact]) -> Self {
        let mut parts: BTreeMap<&str, Parts> = BTreeMap::new();
        let mut refunds: BTreeMap<String, Refund> = BTreeMap::new();
        let mut charged_back: BTreeMap<String, i64> = BTreeMap::new();
        for fact in facts {
            match &fact.kind {
                FactKind::SessionOpened(opened) => {
                    let when = (fact.occurred_at, fact.id);
                    let part = parts.entry(&opened.session_id).or_default();
                    if part.opened.as_ref().is_none_or(|(earliest, _)| when < *earliest) {
                        part.opened = Some((when, opened.clone()));
                    }
                }
                FactKind::SessionPaid { session_id, payment_intent, amount, currency } => {
                    let part = parts.entry(session_id).or_default();
                    let at = end_of_second(fact.occurred_at);
                    if part.paid.as_ref().is_none_or(|earliest| at < earliest.at) {
                        part.paid = Some(Payment {
                            intent: payment_intent.clone(),
                            amount: *amount,
                            currency: currency.clone(),
                            at,
                        });
                    }
                }
                FactKind::SessionProcessing { session_id } => parts.entry(session_id).or_default().processing = true,
                FactKind::SessionFailed { session_id } => parts.entry(session_id).or_default().failed = true,
                FactKind::SessionExpired { session_id } => parts.entry(session_id).or_default().expired = true,
                FactKind::Refund { refund_id, payment_intent, amount, status } => {
                    let new = Refund { payment_intent: payment_intent.clone(), amount: *amount, status: *status };
                    let refund = refunds.entry(refund_id.clone()).or_insert(new);
                    refund.status = refund.status.max(*status);
                }
                FactKind::ChargeRefunded { payment_intent, amount_refunded } => {
                    let most = charged_back.entry(payment_intent.clone()).or_default();
                    *most = (*most).max(*amount_refunded);
                }
                FactKind::Booked(_)
                | FactKind::Canceled(_)
                | FactKind::Left(_)
                | FactKind::NoShow { .. }
                | FactKind::Priced { .. }
                | FactKind::CheckoutRequested => {}
            }
        }
        Self { sessions: sessions(parts), refunds, charged_back }
    }

    /// The payment intents of all paid sessions.
    pub(super) fn payments(&self) -> impl Iterator<Item = &str> {
        self.sessions.iter().filter_map(|session| match &session.state {
            SessionState::Paid(payment) => Some(payment.intent.as_str()),
            SessionState::Open | SessionState::Expired | SessionState::Processing | SessionState::Failed => None,
        })
    }

    /// A payment that we keep is `PAID`, unless somebody returned all of it in Stripe's dashboard, or tried to.
    pub(super) fn status_of_kept(&self, intent: &str) -> PaymentStatus {
        let failed = |refund: &&Refund| refund.status == RefundStatus::Failed;
        let refused: i64 = self.refunds_of(intent).filter(failed).map(|refund| refund.amount).sum();
        if self.is_fully_returned(intent) {
            PaymentStatus::Refunded
        } else if refused >= self.amount_of(intent) && self.refunds_of(intent).all(|refund| failed(&refund)) {
            PaymentStatus::RefundFailed
        } else {
            PaymentStatus::Paid
        }
    }

    /// The worst of the payments that are to go back.
    pub(super) fn status_of_returned(&self, intents: &BTreeSet<&str>) -> PaymentStatus {
        let open: Vec<&str> = intents.iter().copied().filter(|intent| !self.is_fully_returned(intent)).collect();
        let failed = |intent: &&str| {
            self.refunds_of(intent).any(|refund| refund.status == RefundStatus::Failed)
                && !self.refunds_of(intent).any(|refund| refund.status == RefundStatus::Pending)
        };
        if open.is_empty() {
            PaymentStatus::Refunded
        } else if open.iter().any(failed) {
            PaymentStatus::RefundFailed
        } else {
            PaymentStatus::RefundPending
        }
    }

    /// Nothing returns the rest of this payment yet. What failed returns nothing; that we have tried ourselves, once, the
    /// ledger of operations tells, and then it is an operator's to repeat.
    pub(super) fn is_unreturned(&self, intent: &str) -> bool {
        !self.is_returning(intent) && !self.is_fully_returned(intent)
    }

    /// A refund of all of it is under way or done.
    pub(super) fn is_returning(&self, intent: &str) -> bool {
        let asked = self.refunds_of(intent).filter(|refund| refund.status != RefundStatus::Failed);
        asked.map(|refund| refund.amount).sum::<i64>() >= self.amount_of(intent)
    }

    fn is_fully_returned(&self, intent: &str) -> bool {
        self.returned(intent) >= self.amount_of(intent)
    }

    /// How much of this payment went back, in minor units.
    pub(super) fn returned(&self, intent: &str) -> i64 {
        let sum = |status: RefundStatus| -> i64 {
            self.refunds_of(intent).filter(|refund| refund.status == status).map(|refund| refund.amount).sum()
        };
        // The charge's total also counts refunds that are under way and some that failed later. It is evidence only for
        // refunds that we know nothing of, made in Stripe's dashboard.
        let known = sum(RefundStatus::Failed) + sum(RefundStatus::Pending);
        let by_charge = self.charged_back.get(intent).copied().unwrap_or(0) - known;
        sum(RefundStatus::Succeeded).max(by_charge)
    }

    /// How many refunds have come so far.
    pub(super) fn refunds_that_are(&self, status: RefundStatus) -> u64 {
        self.refunds.values().filter(|refund| refund.status == status).count() as u64
    }

    fn refunds_of(&self, intent: &str) -> impl Iterator<Item = &Refund> {
        self.refunds.values().filter(move |refund| refund.payment_intent == intent)
    }

    fn amount_of(&self, intent: &str) -> i64 {
        let amounts = self.sessions.iter().filter_map(|session| match &session.state {
            SessionState::Paid(payment) if payment.intent == intent => Some(payment.amount),
            _ => None,
        });
        amounts.max().unwrap_or(0)
    }
}

/// Stripe tells whole seconds. What happened within one happened, for all we know, at its end: nobody pays before what
/// made them pay.
fn end_of_second(time: Timestamp) -> Timestamp {
    let rest = if time.subsec_nanosecond() == 0 { SignedDuration::from_micros(999_999) } else { SignedDuration::ZERO };
    time.checked_add(rest).unwrap_or(time)
}

fn sessions(parts: BTreeMap<&str, Parts>) -> Vec<Session> {
    let mut sessions: Vec<Session> = parts.into_iter().map(|(id, parts)| session(id, parts)).collect();
    // One that only webhooks told of goes last: its opening is about to be recorded.
    sessions
        .sort_by(|a, b| (a.opened_at.is_none(), a.opened_at, &a.id).cmp(&(b.opened_at.is_none(), b.opened_at, &b.id)));
    sessions
}

fn session(id: &str, parts: Parts) -> Session {
    let state = match &parts {
        Parts { paid: Some(payment), .. } => SessionState::Paid(payment.clone()),
        Parts { failed: true, .. } => SessionState::Failed,
        Parts { processing: true, .. } => SessionState::Processing,
        Parts { expired: true, .. } => SessionState::Expired,
        _ => SessionState::Open,
    };
    let (opened_at, opened) = match parts.opened {
        Some(((at, _), opened)) => (Some(at), Some(opened)),
        None => (None, None),
    };
    Session { id: id.to_owned(), state, opened, opened_at }
}
