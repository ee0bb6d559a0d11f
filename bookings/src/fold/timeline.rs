//! The timeline: what happened, in the order in which it happened, walked once.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use uuid::Uuid;

use super::money::{Ledger, Payment, Session, SessionState};
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
    Left(&'a Details),
    Canceled(&'a Details),
}

/// A stretch of the timeline in which the appointment stands: it ends with a cancellation for good, and the next one
/// begins when the booking comes back.
struct Era {
    /// Tells it from others, whatever else becomes known: the first by nothing, later ones by the invitee that begins
    /// them.
    key: String,
    begun: Timestamp,
}

/// The key of the first era.
const FIRST: &str = "0";

/// Where the timeline leads.
pub(super) struct Walk {
    /// The invitee that the booking is about now.
    pub(super) current: Option<String>,
    /// Not cancelled.
    pub(super) active: bool,
    /// The payment that we keep.
    pub(super) kept: Option<String>,
    /// How often a new session was asked for in this era.
    pub(super) requests: u32,
    /// The event type of the first booking of the era: a reschedule does not change the price.
    pub(super) priced_for: String,
    /// All eras; the last is the present one.
    eras: Vec<Era>,
}

impl Walk {
    pub(super) fn over(facts: &[Fact], ledger: &Ledger) -> Self {
        let first = Era { key: FIRST.to_owned(), begun: Timestamp::MIN };
        let (kept, priced_for) = (None, String::new());
        let mut walk = Self { current: None, active: true, kept, requests: 0, priced_for, eras: vec![first] };
        let types = event_types(facts);
        let mut left = BTreeSet::new();
        // Invitees whose appointment stands, in the order in which they came. More than one only when a customer has
        // used the caller's link twice.
        let mut standing: Vec<&str> = Vec::new();
        for (moment, step) in steps(facts) {
            match step {
                Step::Booked(details) => {
                    walk.book(details, moment, &mut left, &types);
                    standing.retain(|invitee| !left.contains(invitee));
                    let invitee = details.invitee_uri.as_str();
                    if !left.contains(invitee) && !standing.contains(&invitee) {
                        standing.push(invitee);
                    }
                }
                Step::CheckoutRequested => walk.requests += 1,
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
                    match standing.last() {
                        Some(last) => walk.current = Some((*last).to_owned()),
                        None => walk.active = false,
                    }
                }
            }
        }
        walk.kept = walk.keep(ledger);
        walk
    }

    /// The payment that is kept: the first of the present era. A second one goes back, and so does one of an earlier era,
    /// whenever it came: who hears of the cancellation before the comeback has to return it.
    fn keep(&self, ledger: &Ledger) -> Option<String> {
        let mut payments: Vec<(Timestamp, &str, &Payment)> = Vec::new();
        for session in ledger.sessions.iter().filter(|session| self.is_of_now(session)) {
            if let SessionState::Paid(payment) = &session.state {
                payments.push((payment.at, &session.id, payment));
            }
        }
        payments.sort_unstable_by_key(|(at, session, _)| (*at, *session));
        let mut kept: Option<&str> = None;
        for (_, _, payment) in payments {
            // Except that money which has gone back cannot be the money that we keep.
            let gone = |kept: &str| ledger.is_returning(kept) && !ledger.is_returning(&payment.intent);
            if kept.is_none_or(gone) {
                kept = Some(&payment.intent);
            }
        }
        kept.filter(|_| self.active).map(str::to_owned)
    }

    fn is_of_now(&self, session: &Session) -> bool {
        let last = self.eras.len().saturating_sub(1);
        self.era_of(session) == last
    }

    /// A session belongs to the era that it was opened for. If that is not known, or turned out to be none, to the one in
    /// which it was paid.
    fn era_of(&self, session: &Session) -> usize {
        let key = session.opened.as_ref().and_then(|opened| Some(opened.slot.rsplit_once('.')?.0));
        let named = key.and_then(|key| self.eras.iter().position(|era| era.key == key));
        let last = self.eras.len().saturating_sub(1);
        named.unwrap_or_else(|| match session.paid_at() {
            Some(at) => self.eras.iter().rposition(|era| era.begun <= at).unwrap_or(0),
            None => last,
        })
    }

    /// The sessions of earlier eras. They are nobody's chance to pay any more.
    pub(super) fn past<'s>(&self, sessions: &'s [Session]) -> impl Iterator<Item = &'s Session> {
        sessions.iter().filter(|session| !self.is_of_now(session))
    }

    /// The purpose that a session would have now.
    pub(super) fn slot(&self) -> String {
        format!("{}.{}", self.eras.last().map_or(FIRST, |era| era.key.as_str()), self.requests)
    }

    fn book<'a>(
        &mut self,
        details: &'a Details,
        moment: Timestamp,
        left: &mut BTreeSet<&'a str>,
        types: &BTreeMap<&str, &str>,
    ) {
        self.begin_with(details, types);
        if let Some(old) = &details.old_invitee {
            left.insert(old);
        }
        if !left.contains(details.invitee_uri.as_str()) {
            self.current = Some(details.invitee_uri.clone());
        }
        if !self.active {
            self.active = true;
            // A hash, because an URI may hold anything and this becomes part of a target.
            let key = Uuid::new_v5(&Uuid::NAMESPACE_URL, details.invitee_uri.as_bytes()).simple().to_string();
            self.eras.push(Era { key, begun: moment });
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
type Place = (Timestamp, u8, usize, Uuid);

fn steps(facts: &[Fact]) -> Vec<(Timestamp, Step<'_>)> {
    let depths = depths(facts);
    let depth = |details: &Details| depths.get(details.invitee_uri.as_str()).copied().unwrap_or(0);
    let mut steps: Vec<(Place, Step<'_>)> = Vec::new();
    for fact in facts {
        let (depth, step) = match &fact.kind {
            FactKind::Booked(details) => (depth(details), Step::Booked(details)),
            FactKind::Canceled(details) => (depth(details), Step::Canceled(details)),
            FactKind::Left(details) => (depth(details), Step::Left(details)),
            FactKind::CheckoutRequested => (0, Step::CheckoutRequested),
            _ => continue,
        };
        steps.push(((fact.occurred_at, rank(&fact.kind), depth, fact.id), step));
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
