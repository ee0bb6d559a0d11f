//! The timeline: what happened, in the order in which it happened, walked once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::Timestamp;
use uuid::Uuid;

use super::money::{Ledger, Payment, SessionState};
use crate::fact::{Details, Fact, FactKind};

/// At a tie: created, moved, (asked,) paid, left, cancelled.
pub(super) fn rank(kind: &FactKind) -> u8 {
    match kind {
        FactKind::Booked(details) if details.old_invitee.is_none() => 0,
        FactKind::Booked(_) => 1,
        FactKind::CheckoutRequested => 2,
        FactKind::Left(_) => PAID + 1,
        FactKind::Canceled(_) => PAID + 2,
        FactKind::NoShow { .. }
        | FactKind::Priced { .. }
        | FactKind::SessionOpened(_)
        | FactKind::SessionPaid { .. }
        | FactKind::SessionProcessing { .. }
        | FactKind::SessionFailed { .. }
        | FactKind::SessionExpired { .. }
        | FactKind::Refund { .. }
        | FactKind::ChargeRefunded { .. } => PAID,
    }
}

const PAID: u8 = 3;

enum Step<'a> {
    Booked(&'a Details),
    CheckoutRequested,
    Paid(Paid<'a>),
    Left(&'a Details),
    Canceled(&'a Details),
}

/// A payment, and which of the booking's eras its session was opened for, if that is known.
#[derive(Clone, Copy)]
struct Paid<'a> {
    payment: &'a Payment,
    era: Option<u32>,
}

impl Paid<'_> {
    /// It may have come before `moment`, for all that Stripe's whole seconds tell, and belongs to the era that ends then.
    fn is_of(self, era: u32, moment: Timestamp) -> bool {
        let second = Timestamp::from_second(self.payment.at.as_second()).unwrap_or(self.payment.at);
        self.era == Some(era) && second <= moment
    }
}

/// Where the timeline leads.
pub(super) struct Walk {
    /// The invitee that the booking is about now.
    pub(super) current: Option<String>,
    /// Not cancelled.
    pub(super) active: bool,
    /// The payment that we keep.
    pub(super) kept: Option<String>,
    /// How often the booking came back after a cancellation.
    pub(super) era: u32,
    /// How often a new session was asked for since.
    pub(super) requests: u32,
    /// The event type of the first booking of the era: a reschedule does not change the price.
    pub(super) priced_for: String,
}

impl Walk {
    pub(super) fn over(facts: &[Fact], ledger: &Ledger) -> Self {
        let mut walk = Self { current: None, active: true, kept: None, era: 0, requests: 0, priced_for: String::new() };
        let types = event_types(facts);
        let mut left = BTreeSet::new();
        // Invitees whose appointment stands, in the order in which they came. More than one only when a customer has
        // used the caller's link twice.
        let mut standing: Vec<&str> = Vec::new();
        let mut steps = VecDeque::from(steps(facts, ledger));
        while let Some((moment, step)) = steps.pop_front() {
            match step {
                Step::Booked(details) => {
                    walk.book(details, &mut left, &types);
                    standing.retain(|invitee| !left.contains(invitee));
                    let invitee = details.invitee_uri.as_str();
                    if !left.contains(invitee) && !standing.contains(&invitee) {
                        standing.push(invitee);
                    }
                }
                Step::CheckoutRequested => walk.requests += 1,
                Step::Paid(paid) => walk.pay(paid.payment, ledger),
                Step::Left(details) => {
                    walk.begin_with(details, &types);
                    left.insert(details.invitee_uri.as_str());
                    standing.retain(|invitee| *invitee != details.invitee_uri);
                }
                Step::Canceled(details) => {
                    walk.begin_with(details, &types);
                    // Cancelling an invitee that a reschedule had already replaced says nothing about the new one.
                    if left.contains(details.invitee_uri.as_str()) {
                        continue;
                    }
                    standing.retain(|invitee| *invitee != details.invitee_uri);
                    if let Some(last) = standing.last() {
                        walk.current = Some((*last).to_owned());
                    } else {
                        walk.pay_before(moment, &mut steps, ledger);
                        walk.active = false;
                        walk.kept = None;
                    }
                }
            }
        }
        walk
    }

    fn pay(&mut self, payment: &Payment, ledger: &Ledger) {
        // A second payment, or one for a cancelled booking, is not kept; except that money which has gone back cannot be
        // the money that we keep.
        let gone = |kept: &String| ledger.is_returning(kept) && !ledger.is_returning(&payment.intent);
        if self.active && self.kept.as_ref().is_none_or(gone) {
            self.kept = Some(payment.intent.clone());
        }
    }

    /// The era ends at `moment`: payments of the same second that came through its own sessions were for it, and not for
    /// what the booking comes back as within that second.
    fn pay_before(&mut self, moment: Timestamp, steps: &mut VecDeque<(Timestamp, Step<'_>)>, ledger: &Ledger) {
        steps.retain(|(_, step)| match step {
            Step::Paid(paid) if paid.is_of(self.era, moment) => {
                self.pay(paid.payment, ledger);
                false
            }
            _ => true,
        });
    }

    fn book<'a>(&mut self, details: &'a Details, left: &mut BTreeSet<&'a str>, types: &BTreeMap<&str, &str>) {
        self.begin_with(details, types);
        if let Some(old) = &details.old_invitee {
            left.insert(old);
        }
        if !left.contains(details.invitee_uri.as_str()) {
            self.current = Some(details.invitee_uri.clone());
        }
        if !self.active {
            self.active = true;
            self.era += 1;
            self.requests = 0;
            self.priced_for = type_of(details, types);
        }
    }

    /// The first that is heard of a booking, be it its end, begins it.
    fn begin_with(&mut self, details: &Details, types: &BTreeMap<&str, &str>) {
        if self.current.is_none() {
            self.current = Some(details.invitee_uri.clone());
            self.priced_for = type_of(details, types);
        }
    }
}

/// The event type of each invitee: some deliveries leave it out.
fn event_types(facts: &[Fact]) -> BTreeMap<&str, &str> {
    let mut said: Vec<(Timestamp, Uuid, &str, &str)> = facts
        .iter()
        .filter_map(|fact| {
            let details = fact.kind.details()?;
            Some((fact.occurred_at, fact.id, details.invitee_uri.as_str(), details.event_type_uri.as_deref()?))
        })
        .collect();
    said.sort_unstable();
    said.into_iter().rev().map(|(_, _, invitee, event_type)| (invitee, event_type)).collect()
}

fn type_of(details: &Details, types: &BTreeMap<&str, &str>) -> String {
    types.get(details.invitee_uri.as_str()).copied().unwrap_or_default().to_owned()
}

/// Where a step stands: when, rank, reschedules before it, and what makes the order total.
type Place<'a> = (Timestamp, u8, usize, Uuid, &'a str);

fn steps<'a>(facts: &'a [Fact], ledger: &'a Ledger) -> Vec<(Timestamp, Step<'a>)> {
    let depths = depths(facts);
    let depth = |details: &Details| depths.get(details.invitee_uri.as_str()).copied().unwrap_or(0);
    let mut steps: Vec<(Place<'a>, Step<'a>)> = Vec::new();
    for fact in facts {
        let (depth, step) = match &fact.kind {
            FactKind::Booked(details) => (depth(details), Step::Booked(details)),
            FactKind::Canceled(details) => (depth(details), Step::Canceled(details)),
            FactKind::Left(details) => (depth(details), Step::Left(details)),
            FactKind::CheckoutRequested => (0, Step::CheckoutRequested),
            _ => continue,
        };
        steps.push(((fact.occurred_at, rank(&fact.kind), depth, fact.id, ""), step));
    }
    for session in &ledger.sessions {
        if let SessionState::Paid(payment) = &session.state {
            let era = session.opened.as_ref().and_then(|opened| opened.slot.split('.').next()?.parse().ok());
            steps.push(((payment.at, PAID, 0, Uuid::nil(), &session.id), Step::Paid(Paid { payment, era })));
        }
    }
    steps.sort_by_key(|(place, _)| *place);
    // The same fact may be in the list twice, and asking for a session is the one step that counts.
    steps.dedup_by(|(a, _), (b, _)| a == b);
    steps.into_iter().map(|((moment, ..), step)| (moment, step)).collect()
}

/// How many reschedules lie before each invitee: orders those of the same moment.
fn depths(facts: &[Fact]) -> BTreeMap<&str, usize> {
    let mut before: BTreeMap<&str, &str> = BTreeMap::new();
    let links = facts.iter().filter_map(|fact| fact.kind.details()).flat_map(|details| {
        let old = details.old_invitee.as_deref().map(|old| (details.invitee_uri.as_str(), old));
        let new = details.new_invitee.as_deref().map(|new| (new, details.invitee_uri.as_str()));
        [old, new].into_iter().flatten()
    });
    for (new, old) in links {
        // Nobody replaces two. If it is said all the same, any one will do, as long as it is the same one every time.
        before.entry(new).and_modify(|other| *other = old.min(*other)).or_insert(old);
    }
    let depth = |invitee: &str| {
        let mut depth = 0;
        let mut at = invitee;
        // Bounded, because a forged or broken chain may be a ring.
        while let Some(earlier) = before.get(at).filter(|_| depth <= before.len()) {
            depth += 1;
            at = earlier;
        }
        depth
    };
    before.keys().map(|invitee| (*invitee, depth(invitee))).collect()
}
