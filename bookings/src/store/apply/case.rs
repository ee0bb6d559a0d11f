//! One booking of a batch, in memory: what is known, what the requests add, what follows from it. Pure.

use std::collections::HashMap;

use jiff::Timestamp;
use uuid::Uuid;

use super::super::params::{self, CheckoutTerms};
use super::operation::{Change, Entry};
use super::request::{Applied, Request, Subject};
use crate::fact::{Fact, FactKind};
use crate::fold::{Booking, PaymentStatus, Turnover, fold};
use crate::plan::{Operation, OperationKind, OperationState, plan};
use crate::price::Price;

/// What deciding needs besides the booking.
pub(super) struct Rules<'a> {
    pub(super) terms: &'a CheckoutTerms,
    pub(super) default_price: &'a Price,
    /// Listed prices of every event type that may be asked for.
    pub(super) prices: &'a HashMap<String, Price>,
    /// The database's clock.
    pub(super) now: Timestamp,
}

pub(super) struct Case<'a> {
    pub(super) booking_id: Uuid,
    /// Places in the batch.
    requests: Vec<(usize, &'a Request)>,
    facts: Vec<Fact>,
    place_of: HashMap<Uuid, usize>,
    /// Places in `facts` of what has to be written.
    changed: Vec<usize>,
    new_facts: Vec<bool>,
    pub(super) ledger: Vec<Entry>,
    pub(super) booking: Booking,
    /// The row has to be written.
    pub(super) is_touched: bool,
    /// Its person was removed, and nothing that tells of them is kept.
    is_erased: bool,
    /// Money that was not known of before.
    turnover: Turnover,
}

impl<'a> Case<'a> {
    /// What is known, and what is asked.
    pub(super) fn new(
        booking_id: Uuid,
        known: Vec<Fact>,
        ledger: Vec<Entry>,
        requests: Vec<(usize, &'a Request)>,
    ) -> Self {
        let place_of = known.iter().enumerate().map(|(place, fact)| (fact.id, place)).collect();
        // To see what is left to do changes nothing, unless it turns out to.
        let is_touched = requests.iter().any(|(_, request)| !request.facts.is_empty() || request.report.is_some());
        Self {
            booking_id,
            booking: fold(&[]),
            facts: known,
            place_of,
            changed: Vec::new(),
            new_facts: vec![false; requests.len()],
            ledger,
            requests,
            is_touched,
            is_erased: false,
            turnover: Turnover::default(),
        }
    }

    /// The same for a booking whose person was removed.
    pub(super) fn erased(mut self) -> Self {
        self.is_erased = true;
        self
    }

    /// Takes the person out of all that is known, whenever it became known.
    fn forget_person(&mut self) {
        let told =
            self.facts.iter_mut().enumerate().filter_map(|(place, fact)| fact.kind.forget_person().then_some(place));
        self.changed.extend(told);
        self.ledger.iter_mut().for_each(Entry::forget_person);
    }

    /// Adds what the requests say, and what was set aside for this booking, to what is known.
    pub(super) fn take_in<'f>(&mut self, strays: impl Iterator<Item = &'f Fact>, now: Timestamp) {
        let strays: Vec<&Fact> = strays.collect();
        let mut told = self.requests.iter().flat_map(|(_, request)| &request.facts).chain(strays.iter().copied());
        let before = told.any(Turnover::is_about).then(|| Turnover::of(&self.facts));
        for fact in strays {
            self.add(fact);
        }
        for turn in 0..self.requests.len() {
            let Some((_, request)) = self.requests.get(turn).copied() else { continue };
            let new = request.facts.iter().filter(|fact| self.add(fact)).count();
            self.new_facts.get_mut(turn).into_iter().for_each(|any| *any = new > 0);
            if let Some(report) = &request.report
                && let Some(entry) = self.ledger.iter_mut().find(|entry| entry.id == report.operation_id)
            {
                entry.note(report, now);
            }
        }
        if let Some(before) = before {
            self.turnover = Turnover::of(&self.facts).since(&before);
        }
        if self.is_erased {
            self.forget_person();
        }
        self.booking = fold(&self.facts);
    }

    /// Adds a fact. True when it is new.
    ///
    /// Two reports of one happening may differ, in its time or in what they tell: the earliest counts, whichever comes
    /// first.
    pub(super) fn add(&mut self, fact: &Fact) -> bool {
        let Some(known) = self.place_of.get(&fact.id).and_then(|place| self.facts.get_mut(*place)) else {
            self.place_of.insert(fact.id, self.facts.len());
            self.changed.push(self.facts.len());
            self.facts.push(fact.clone());
            return true;
        };
        if is_before(fact, known) {
            *known = Fact { event_type: known.event_type.clone(), ..fact.clone() };
            self.changed.extend(self.place_of.get(&fact.id));
        }
        false
    }

    /// The facts to be written.
    pub(super) fn changed_facts(&self) -> impl Iterator<Item = &Fact> {
        let mut places = self.changed.clone();
        places.sort_unstable();
        places.dedup();
        places.into_iter().filter_map(|place| self.facts.get(place))
    }

    /// The event type whose price has to be looked up, once, when the booking first needs it.
    pub(super) fn unpriced(&self) -> Option<&str> {
        let is_unpriced = self.booking.price.is_none() && !self.booking.details.invitee_uri.is_empty();
        is_unpriced.then_some(self.booking.priced_for.as_str())
    }

    /// Folds, plans and hands out what is to be done: one answer for each request.
    pub(super) fn decide(&mut self, rules: &Rules<'_>) -> Vec<(usize, Applied)> {
        if let Some(event_type) = self.unpriced() {
            let price = rules.prices.get(event_type).unwrap_or(rules.default_price).clone();
            let priced = Fact {
                id: Uuid::new_v5(&self.booking_id, format!("priced {event_type}").as_bytes()),
                event_type: "booking.priced".to_owned(),
                occurred_at: rules.now,
                kind: FactKind::Priced { event_type_uri: event_type.to_owned(), price },
            };
            self.add(&priced);
            self.booking = fold(&self.facts);
        }
        self.plan(rules);
        self.show_refused_refund();
        let answers = self.answers(rules);
        self.is_touched |= !self.changed.is_empty() || self.ledger.iter().any(|entry| entry.change != Change::Nothing);
        answers
    }

    fn plan(&mut self, rules: &Rules<'_>) {
        let ledger: Vec<Operation> = self.ledger.iter().map(Entry::for_plan).collect();
        let plan = plan(&self.booking, &ledger);
        for entry in self.ledger.iter_mut().filter(|entry| plan.abandon.contains(&entry.id)) {
            entry.abandon(rules.now);
        }
        self.ledger.iter_mut().filter(|entry| plan.look_up.contains(&entry.id)).for_each(Entry::look_up_first);
        // An event that is delivered once more, from the DLQ for example, is the operator's word that what Stripe had
        // refused may work now. Only what is still wanted is left by now.
        let is_redelivery = |(turn, (_, request)): (usize, &(usize, &Request))| {
            let is_asked_for = request.report.is_none() && !request.is_routine;
            !request.facts.is_empty() && is_asked_for && !self.new_facts.get(turn).copied().unwrap_or(true)
        };
        if self.requests.iter().enumerate().any(is_redelivery) {
            self.ledger.iter_mut().filter(|entry| entry.state == OperationState::Failed).for_each(Entry::revive);
        }
        for begun in &plan.begin {
            let id = Uuid::now_v7();
            let owner = (self.booking_id, id);
            let fields = params::fields(begun.kind, &begun.target, owner, &self.booking, rules.terms, rules.now);
            self.ledger.push(Entry::planned(id, begun.kind, &begun.target, fields, rules.now));
        }
    }

    /// A refund that Stripe will not make is as failed as one that it could not make.
    pub(super) fn show_refused_refund(&mut self) {
        let refused = |entry: &Entry| entry.kind == OperationKind::Refund && entry.state == OperationState::Failed;
        if self.booking.payment_status == PaymentStatus::RefundPending && self.ledger.iter().any(refused) {
            self.booking.payment_status = PaymentStatus::RefundFailed;
        }
    }

    fn answers(&mut self, rules: &Rules<'_>) -> Vec<(usize, Applied)> {
        let (booking_id, now) = (self.booking_id, rules.now);
        let mut answers = Vec::with_capacity(self.requests.len());
        let mut turns: Vec<(usize, &(usize, &Request))> = self.requests.iter().enumerate().collect();
        // Whose fact is new gets the work that follows from it: should it fail, that event comes back for it.
        turns.sort_by_key(|(turn, _)| !self.new_facts.get(*turn).copied().unwrap_or(false));
        for (turn, (place, request)) in turns {
            let kept = |entry: &&mut Entry| request.report.as_ref().is_some_and(|report| report.keeps(entry));
            let free = |entry: &&mut Entry| entry.is_free(now) && !request.tried.contains(&entry.id);
            let operation = match (self.ledger.iter_mut().find(kept), &request.report) {
                (Some(entry), Some(report)) => Some(entry.keep(booking_id, report, rules.terms, now)),
                _ => self.ledger.iter_mut().find(free).map(|entry| entry.claim(booking_id, rules.terms, now)),
            };
            let mine = |entry: &Entry| {
                request.tried.contains(&entry.id) || operation.as_ref().is_some_and(|own| own.id == entry.id)
            };
            let busy = self.ledger.iter().filter(|entry| !mine(entry)).filter_map(|entry| entry.busy_for(now)).min();
            let applied = Applied {
                booking_id: Some(booking_id),
                is_new: self.new_facts.get(turn).copied().unwrap_or(false),
                operation,
                busy: busy.and_then(|left| left.try_into().ok()),
                turnover: std::mem::take(&mut self.turnover),
            };
            answers.push((*place, applied));
        }
        answers
    }
}

/// Whether a report of a happening counts more than the one that is known.
fn is_before(fact: &Fact, known: &Fact) -> bool {
    let text = |fact: &Fact| serde_json::to_string(&fact.kind).unwrap_or_default();
    (fact.occurred_at, text(fact)) < (known.occurred_at, text(known))
}

/// Which of several bookings that turn out to be one survives: the caller's own row, else the oldest.
pub(super) fn survivor(bookings: &[Uuid], rows: &HashMap<Uuid, super::load::Locked>) -> Option<Uuid> {
    let age = |id: &&Uuid| rows.get(*id).map(|row| (row.reference.is_none(), row.created_at, **id));
    bookings.iter().min_by_key(age).copied()
}

/// The event type that a request's price is likely to be looked up for, so that it can be read ahead.
pub(super) fn likely_event_type(request: &Request) -> Option<&str> {
    match &request.subject {
        // Calendly leaves it out at times: then the price of "no event type" counts.
        Subject::Invitee(details) => Some(details.event_type_uri.as_deref().unwrap_or_default()),
        Subject::Booking(_) | Subject::Perhaps(_) | Subject::Payment(_) => None,
    }
}

#[cfg(test)]
#[path = "case_tests.rs"]
mod tests;
