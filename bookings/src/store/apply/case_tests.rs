//! A booking played through against a toy Stripe, in every order of arrival.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::super::request::{ClaimedOperation, Failure, TryEnd};
use super::*;
use crate::fact::{Details, RefundStatus, SessionOpened};
use crate::plan::parse_session_target;

const AMOUNT: i64 = 5000;

fn second(at: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + at).unwrap()
}

fn fact(at: i64, kind: FactKind) -> Fact {
    let text = serde_json::to_string(&kind).unwrap();
    let id = Uuid::new_v5(&Uuid::NAMESPACE_URL, text.as_bytes());
    Fact { id, event_type: "test".to_owned(), occurred_at: second(at), kind }
}

fn details(invitee: &str, old: Option<&str>) -> Details {
    Details {
        invitee_uri: invitee.to_owned(),
        old_invitee: old.map(str::to_owned),
        event_type_uri: Some("type".to_owned()),
        ..Details::default()
    }
}

fn paid(at: i64, session: &str) -> Fact {
    let (session_id, payment_intent) = (session.to_owned(), format!("pi_{session}"));
    fact(at, FactKind::SessionPaid { session_id, payment_intent, amount: AMOUNT, currency: "usd".to_owned() })
}

fn refund(at: i64, id: &str, session: &str, amount: i64, status: RefundStatus) -> Fact {
    let payment_intent = format!("pi_{session}");
    fact(at, FactKind::Refund { refund_id: id.to_owned(), payment_intent, amount, status })
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Toy {
    Open,
    Expired,
    Paid(i64),
}

/// What goes wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// No answer, and nothing was done.
    Lost,
    /// No answer, and it was done.
    Unheard,
    /// Stripe saves a failure under the key, and did it or not.
    Saved {
        done: bool,
    },
    /// Our process dies after it was done.
    Crash,
}

/// What Stripe holds.
#[derive(Clone, Debug, Default)]
struct Account {
    /// By id, which is the key that opened it.
    sessions: BTreeMap<String, Toy>,
    /// By id: payment, amount, status.
    refunds: BTreeMap<String, (String, i64, RefundStatus)>,
    saved: Vec<String>,
    faults: Vec<Fault>,
}

impl Account {
    fn returned(&self, intent: &str) -> i64 {
        let of = self.refunds.values().filter(|(of, _, status)| of == intent && *status != RefundStatus::Failed);
        of.map(|(_, amount, _)| amount).sum()
    }

    fn net(&self) -> i64 {
        let paid = self.sessions.iter().filter(|(_, state)| matches!(state, Toy::Paid(_)));
        paid.map(|(id, _)| AMOUNT - self.returned(&format!("pi_{id}"))).sum()
    }

    fn live(&self) -> usize {
        self.sessions.values().filter(|state| **state == Toy::Open).count()
    }

    /// The end of a try; `None` when we died over it.
    fn perform(&mut self, operation: &ClaimedOperation, now: i64) -> Option<(TryEnd, Vec<Fact>)> {
        let mut key = operation.idempotency_key.clone();
        if operation.look_up {
            // Keys are the operation's id and a number.
            let id = operation.id.to_string();
            let there = match operation.kind {
                OperationKind::CreateSession => self.sessions.keys().find(|key| key.starts_with(&id)),
                OperationKind::ExpireSession => {
                    Some(&operation.target).filter(|id| self.sessions.get(*id) != Some(&Toy::Open))
                }
                OperationKind::Refund => self.refunds.keys().find(|key| key.starts_with(&id)),
            };
            let Some(there) = there else { return Some((TryEnd::NotThere, Vec::new())) };
            key = there.clone();
            return Some((TryEnd::Done, self.act(operation, &key, now)));
        }
        let failed = |key_is_spent| {
            let failure = Failure { error: "broken".to_owned(), may_be_done: true, key_is_spent };
            Some((TryEnd::Released(failure), Vec::new()))
        };
        if self.saved.contains(&key) {
            return failed(true);
        }
        let fault = self.faults.pop().unwrap_or(Fault::None);
        let facts = match fault {
            Fault::Lost | Fault::Saved { done: false } => Vec::new(),
            Fault::None | Fault::Unheard | Fault::Crash | Fault::Saved { done: true } => self.act(operation, &key, now),
        };
        match fault {
            Fault::None => Some((TryEnd::Done, facts)),
            Fault::Lost | Fault::Unheard => failed(false),
            Fault::Saved { .. } => {
                self.saved.push(key);
                failed(true)
            }
            Fault::Crash => None,
        }
    }

    fn act(&mut self, operation: &ClaimedOperation, key: &str, now: i64) -> Vec<Fact> {
        match operation.kind {
            OperationKind::CreateSession => {
                self.sessions.entry(key.to_owned()).or_insert(Toy::Open);
                let (slot, priced_for) = parse_session_target(&operation.target);
                let opened = SessionOpened {
                    session_id: key.to_owned(),
                    url: None,
                    amount: AMOUNT,
                    currency: "usd".to_owned(),
                    priced_for: priced_for.to_owned(),
                    slot: slot.to_owned(),
                };
                vec![fact(now, FactKind::SessionOpened(opened))]
            }
            OperationKind::ExpireSession => {
                let session = self.sessions.get_mut(&operation.target).unwrap();
                if let Toy::Paid(at) = session {
                    return vec![paid(*at, &operation.target)];
                }
                *session = Toy::Expired;
                vec![fact(now, FactKind::SessionExpired { session_id: operation.target.clone() })]
            }
            OperationKind::Refund => {
                let left = AMOUNT - self.returned(&operation.target);
                if left > 0 {
                    self.refunds.entry(key.to_owned()).or_insert((
                        operation.target.clone(),
                        left,
                        RefundStatus::Succeeded,
                    ));
                }
                let session = operation.target.trim_start_matches("pi_").to_owned();
                let all = self.refunds.iter().filter(|(_, (of, ..))| *of == operation.target);
                all.map(|(id, (_, amount, status))| refund(now, id, &session, *amount, *status)).collect()
            }
        }
    }
}

/// One booking, as the database holds it, and its account at Stripe.
#[derive(Clone)]
struct World {
    facts: Vec<Fact>,
    ledger: Vec<Entry>,
    account: Account,
    now: i64,
    booking: Booking,
}

impl World {
    fn new() -> Self {
        Self { facts: Vec::new(), ledger: Vec::new(), account: Account::default(), now: 1000, booking: fold(&[]) }
    }

    fn apply(&mut self, request: &Request) -> Applied {
        let price = Price::Amount { minor: AMOUNT, currency: "usd".to_owned() };
        let terms = CheckoutTerms { ttl: Duration::from_hours(24), ..CheckoutTerms::default() };
        let rules = Rules { terms: &terms, default_price: &price, prices: &HashMap::new(), now: second(self.now) };
        let (facts, ledger) = (std::mem::take(&mut self.facts), std::mem::take(&mut self.ledger));
        let mut case = Case::new(Uuid::nil(), facts, ledger, vec![(0, request)]);
        case.take_in(std::iter::empty(), rules.now);
        let (_, applied) = case.decide(&rules).pop().unwrap();
        self.booking = case.booking;
        self.facts = case.facts;
        self.ledger = case.ledger;
        self.ledger.iter_mut().for_each(|entry| entry.change = Change::Nothing);
        applied
    }

    fn carry_out(&mut self, first: Applied) {
        let (mut next, mut tried) = (first.operation, Vec::new());
        while let Some(operation) = next {
            tried.push(operation.id);
            let Some((end, facts)) = self.account.perform(&operation, self.now) else { return };
            let looked = matches!(end, TryEnd::NotThere);
            next = self.apply(&Request::report(&operation, end, facts, &tried)).operation;
            if let Some(kept) = next.clone().filter(|kept| looked && kept.id == operation.id) {
                let Some((end, facts)) = self.account.perform(&kept, self.now) else { return };
                next = self.apply(&Request::report(&kept, end, facts, &tried)).operation;
            }
            assert!(tried.len() < 20, "{:?}", self.ledger);
        }
    }

    fn deliver(&mut self, fact: &Fact) {
        self.now += 1;
        let subject = Subject::Booking(Uuid::nil());
        let applied = self.apply(&Request::event(subject, fact.clone()));
        self.carry_out(applied);
    }

    fn work(&mut self) {
        self.now += 60;
        let applied = self.apply(&Request::work(Uuid::nil(), &[]));
        self.carry_out(applied);
    }

    fn open_session(&self) -> Option<String> {
        self.account.sessions.iter().find(|(_, state)| **state == Toy::Open).map(|(id, _)| id.clone())
    }

    fn outcome(&self) -> (&'static str, &'static str, usize, i64) {
        let booking = &self.booking;
        (booking.status.as_str(), booking.payment_status.as_str(), self.account.live(), self.account.net())
    }
}

#[derive(Clone, Copy, Debug)]
enum Happening {
    Pay,
    Cancel,
    Move,
    Expire,
    Refund {
        part: bool,
        fails: bool,
    },
    /// Nothing: time goes by.
    Wait,
}

use Happening::{Cancel, Expire, Move, Pay, Refund, Wait};

/// Plays the happenings while no event is delivered, and returns the events, in order.
fn happen(world: &mut World, happenings: &[Happening]) -> Vec<Fact> {
    let names = ["a", "b", "c", "d", "e", "f", "g"];
    let (mut place, mut at, mut events) = (0, 10, Vec::new());
    let session = world.open_session().unwrap();
    for (number, happening) in happenings.iter().enumerate() {
        at += 2;
        let state = world.account.sessions.get_mut(&session).unwrap();
        match happening {
            Pay if *state == Toy::Open => {
                *state = Toy::Paid(at);
                events.push(paid(at, &session));
            }
            Expire if *state == Toy::Open => {
                *state = Toy::Expired;
                events.push(fact(at, FactKind::SessionExpired { session_id: session.clone() }));
            }
            Cancel => events.push(fact(at, FactKind::Canceled(details(names[place], None)))),
            Move => {
                events.push(fact(at, FactKind::Booked(details(names[place + 1], Some(names[place])))));
                place += 1;
            }
            Refund { part, fails } if matches!(state, Toy::Paid(_)) => {
                let intent = format!("pi_{session}");
                let amount = if *part { 1000 } else { AMOUNT - world.account.returned(&intent) };
                let id = format!("dashboard {number}");
                let status = if *fails { RefundStatus::Failed } else { RefundStatus::Succeeded };
                if amount > 0 && amount + world.account.returned(&intent) <= AMOUNT {
                    world.account.refunds.insert(id.clone(), (intent, amount, status));
                    events.push(refund(at, &id, &session, amount, status));
                }
            }
            Pay | Expire | Refund { .. } | Wait => {}
        }
    }
    events
}

fn permutations<T: Clone>(items: &[T]) -> Vec<Vec<T>> {
    let Some((first, rest)) = items.split_first() else { return vec![Vec::new()] };
    let longer = permutations(rest).into_iter().flat_map(|permutation| {
        (0..=permutation.len()).map(move |place| (place, permutation.clone())).collect::<Vec<_>>()
    });
    longer
        .map(|(place, mut permutation)| {
            permutation.insert(place, first.clone());
            permutation
        })
        .collect()
}

fn begun() -> World {
    let mut world = World::new();
    world.deliver(&fact(10, FactKind::Booked(details("a", None))));
    assert_eq!(world.outcome(), ("PENDING_PAYMENT", "UNPAID", 1, 0));
    world
}

fn check(happenings: &[Happening]) -> Result<(), TestCaseError> {
    let mut world = begun();
    let events = happen(&mut world, happenings);
    let mut expected = None;
    for order in permutations(&events) {
        let mut world = world.clone();
        for event in &order {
            world.deliver(event);
        }
        for event in &order {
            world.deliver(event);
        }
        let outcome = world.outcome();
        let told: Vec<String> =
            order.iter().map(|f| format!("{}@{}", serde_json::to_string(&f.kind).unwrap(), f.occurred_at)).collect();
        let (first, _) = expected.get_or_insert((outcome, told.clone()));
        if *first != outcome {
            return Err(TestCaseError::fail(format!(
                "{happenings:?}\n{:#?}\n-> {:?}\n{told:#?}\n-> {outcome:?}",
                expected.as_ref().unwrap().1,
                expected.as_ref().unwrap().0
            )));
        }
    }
    Ok(())
}

fn any_of(happenings: Vec<Happening>, most: usize) -> impl Strategy<Value = Vec<Happening>> {
    prop::collection::vec(prop::sample::select(happenings), 0..=most)
}

proptest! {
    /// A booking that is cancelled, comes back and is paid through the session that it had before: whoever hears of the
    /// cancellation first returns the payment, and whoever hears of the comeback first keeps it.
    #[test]
    fn a_comeback_ends_alike_in_every_order(happenings in any_of(vec![Wait, Pay, Cancel, Move, Expire], 5)) {
        check(&happenings)?;
    }

    /// Refunds from Stripe's dashboard, some of which fail, before a cancellation or without one.
    #[test]
    fn refunds_from_the_dashboard_end_alike_in_every_order(
        refunds in any_of(vec![
            Refund { part: true, fails: false },
            Refund { part: true, fails: true },
            Refund { part: false, fails: false },
            Refund { part: false, fails: true },
        ], 3),
        cancel in any::<bool>(),
    ) {
        let happenings: Vec<Happening> = [Pay].into_iter().chain(refunds).chain(cancel.then_some(Cancel)).collect();
        check(&happenings)?;
    }

    #[test]
    fn moves_and_a_cancel_end_alike_in_every_order(moves in 0..3_usize, pay in 0..4_usize, cancel in any::<bool>()) {
        let mut happenings = vec![Move; moves];
        happenings.extend(cancel.then_some(Cancel));
        happenings.insert(pay.min(happenings.len()), Pay);
        check(&happenings)?;
    }
}

#[derive(Clone, Copy, Debug)]
enum Act {
    /// The customer pays whatever session is open.
    Pay,
    /// The next event, or an earlier one, arrives.
    Deliver(prop::sample::Index),
    /// The sweeper comes by.
    Work,
    Fail(Fault),
}

fn any_act() -> impl Strategy<Value = Act> {
    let faults = [Fault::Lost, Fault::Unheard, Fault::Crash, Fault::Saved { done: false }, Fault::Saved { done: true }];
    prop_oneof![
        2 => Just(Act::Pay),
        6 => any::<prop::sample::Index>().prop_map(Act::Deliver),
        1 => Just(Act::Work),
        4 => prop::sample::select(faults.to_vec()).prop_map(Act::Fail),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// Whatever breaks, and whatever session the customer finds to pay: in the end the row tells what Stripe holds.
    #[test]
    fn whatever_breaks_the_row_tells_what_stripe_holds(moves in 0..3_usize, cancel in any::<bool>(), acts in prop::collection::vec(any_act(), 1..20)) {
        let names = ["a", "b", "c"];
        let mut events = vec![fact(10, FactKind::Booked(details("a", None)))];
        for step in 0..moves {
            let at = 20 + i64::try_from(step).unwrap();
            events.push(fact(at, FactKind::Booked(details(names[step + 1], Some(names[step])))));
        }
        if cancel {
            events.push(fact(30, FactKind::Canceled(details(names[moves], None))));
        }
        let mut world = World::new();
        for act in acts {
            match act {
                Act::Pay => if let Some(session) = world.open_session() {
                    world.account.sessions.insert(session.clone(), Toy::Paid(world.now));
                    events.push(paid(world.now, &session));
                },
                Act::Deliver(index) => { let event = events[index.index(events.len())].clone(); world.deliver(&event); }
                Act::Work => world.work(),
                Act::Fail(fault) => world.account.faults.push(fault),
            }
        }
        world.account.faults.clear();
        for event in &events {
            world.deliver(event);
        }
        for _ in 0..5 {
            world.work();
        }
        let pending: Vec<_> = world.ledger.iter().filter(|entry| entry.state == OperationState::Pending).collect();
        prop_assert!(pending.is_empty(), "{pending:?}");
        let was_paid = world.account.sessions.values().any(|state| matches!(state, Toy::Paid(_)));
        let expected = match world.outcome() {
            ("CANCELED", "REFUNDED", ..) if cancel && was_paid => (0, 0),
            ("CANCELED", "UNPAID", ..) if cancel && !was_paid => (0, 0),
            ("CONFIRMED", "PAID", ..) if !cancel && was_paid => (0, AMOUNT),
            ("PENDING_PAYMENT", "UNPAID", ..) if !cancel && !was_paid => (1, 0),
            other => return Err(TestCaseError::fail(format!("{other:?} {:?} {:#?}", world.account, world.ledger))),
        };
        prop_assert_eq!((world.account.live(), world.account.net()), expected, "{:#?}", world.ledger);
        let mut returned: Vec<_> = world.account.refunds.values().map(|(intent, ..)| intent).collect();
        returned.sort();
        let refunds = returned.len();
        returned.dedup();
        prop_assert_eq!(returned.len(), refunds);
    }
}

/// The cancellation's refund broke on the way, and was not done. Then it turns out that the cancelled invitee had been
/// rescheduled before.
#[test]
fn a_refund_in_doubt_that_is_not_wanted_any_more_is_not_made() {
    let mut world = begun();
    let session = world.open_session().unwrap();
    world.account.sessions.insert(session.clone(), Toy::Paid(12));
    world.deliver(&paid(12, &session));
    world.account.faults = vec![Fault::Lost];
    world.deliver(&fact(20, FactKind::Canceled(details("a", None))));
    assert_eq!(world.outcome(), ("CANCELED", "REFUND_PENDING", 0, AMOUNT));
    // An event that has no work of its own to do: it finds what is left.
    world.deliver(&fact(15, FactKind::Booked(details("b", Some("a")))));
    world.work();
    assert_eq!(world.outcome(), ("CONFIRMED", "PAID", 0, AMOUNT));
}

#[test]
fn a_look_up_reaches_up_to_the_last_request() {
    let mut entry = Entry::planned(Uuid::nil(), OperationKind::CreateSession, "0.0#0 type", Vec::new(), second(0));
    let terms = CheckoutTerms::default();
    let first = entry.claim(Uuid::nil(), &terms, second(0));
    // The rate limit kept it for long: the request goes out now.
    let waited = Request::report(&first, TryEnd::Waiting, Vec::new(), &[]).report.unwrap();
    entry.note(&waited, second(200));
    let kept = entry.keep(Uuid::nil(), &waited, &terms, second(200));
    let failure = Failure { error: "500".to_owned(), may_be_done: true, key_is_spent: true };
    let report = Request::report(&kept, TryEnd::Released(failure), Vec::new(), &[]).report.unwrap();
    entry.note(&report, second(205));
    let again = entry.claim(Uuid::nil(), &terms, second(300));
    assert!(again.look_up);
    assert!(again.last_tried_at >= Some(second(200)), "{:?}", again.last_tried_at);
}

/// Who sends many events again does not mean any one of them.
#[test]
fn what_stripe_refused_is_tried_again_for_an_operator_and_not_for_a_backfill() {
    let mut world = begun();
    let session = world.open_session().unwrap();
    world.account.sessions.insert(session.clone(), Toy::Paid(12));
    world.deliver(&paid(12, &session));
    let canceled = fact(20, FactKind::Canceled(details("a", None)));
    let subject = || Subject::Booking(Uuid::nil());
    let refund = world.apply(&Request::event(subject(), canceled.clone())).operation.unwrap();
    let failure = Failure { error: "refused".to_owned(), may_be_done: false, key_is_spent: true };
    world.apply(&Request::report(&refund, TryEnd::Refused(failure), Vec::new(), &[refund.id]));
    assert!(world.apply(&Request::backfilled(subject(), canceled.clone())).operation.is_none());
    let revived = world.apply(&Request::event(subject(), canceled)).operation;
    assert_eq!(revived.map(|operation| operation.id), Some(refund.id));
}
