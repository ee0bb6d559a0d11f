//! The fold and the plan: the contract's rules one by one, and their independence of order and duplication.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail loudly")]

use bookings::fact::SessionOpened;
use bookings::{
    Booking, Details, Fact, FactKind, Operation, OperationKind, OperationState, PaymentStatus, Plan, Price,
    RefundStatus, Status, fold, plan,
};
use jiff::Timestamp;
use proptest::prelude::*;
use uuid::Uuid;

fn details(invitee: &str, old: Option<&str>) -> Details {
    Details {
        invitee_uri: invitee.to_owned(),
        old_invitee: old.map(str::to_owned),
        event_uri: Some(format!("event of {invitee}")),
        event_type_uri: Some("type".to_owned()),
        email: Some(format!("{invitee}@example.com")),
        ..Details::default()
    }
}

/// The same happening has the same id, as in production.
fn fact(at: i64, kind: FactKind) -> Fact {
    let text = serde_json::to_string(&kind).unwrap();
    Fact {
        id: Uuid::new_v5(&Uuid::NAMESPACE_URL, text.as_bytes()),
        event_type: "test".to_owned(),
        occurred_at: Timestamp::from_second(1_700_000_000 + at).unwrap(),
        kind,
    }
}

fn created(at: i64, invitee: &str) -> Fact {
    fact(at, FactKind::Booked(details(invitee, None)))
}

fn moved(at: i64, old: &str, new: &str) -> Fact {
    fact(at, FactKind::Booked(details(new, Some(old))))
}

fn left(at: i64, old: &str, new: &str) -> Fact {
    fact(at, FactKind::Left(Details { new_invitee: Some(new.to_owned()), ..details(old, None) }))
}

/// The purpose of a session of the era that this invitee began by bringing the booking back.
fn slot(invitee: &str) -> String {
    format!("{}.0", Uuid::new_v5(&Uuid::NAMESPACE_URL, invitee.as_bytes()).simple())
}

fn canceled(at: i64, invitee: &str) -> Fact {
    fact(at, FactKind::Canceled(details(invitee, None)))
}

fn priced() -> Fact {
    let price = Price::Amount { minor: 5000, currency: "usd".to_owned() };
    fact(0, FactKind::Priced { event_type_uri: "type".to_owned(), price })
}

fn opened(at: i64, session: &str, slot: &str) -> Fact {
    let opened = SessionOpened {
        session_id: session.to_owned(),
        url: Some(format!("https://pay/{session}")),
        amount: 5000,
        currency: "usd".to_owned(),
        priced_for: "type".to_owned(),
        slot: slot.to_owned(),
    };
    fact(at, FactKind::SessionOpened(opened))
}

fn paid(at: i64, session: &str) -> Fact {
    let kind = FactKind::SessionPaid {
        session_id: session.to_owned(),
        payment_intent: format!("pi_{session}"),
        amount: 5000,
        currency: "usd".to_owned(),
    };
    fact(at, kind)
}

fn expired(at: i64, session: &str) -> Fact {
    fact(at, FactKind::SessionExpired { session_id: session.to_owned() })
}

fn refund(at: i64, id: &str, session: &str, amount: i64, status: RefundStatus) -> Fact {
    let kind = FactKind::Refund { refund_id: id.to_owned(), payment_intent: format!("pi_{session}"), amount, status };
    fact(at, kind)
}

fn charge_refunded(at: i64, session: &str, amount_refunded: i64) -> Fact {
    fact(at, FactKind::ChargeRefunded { payment_intent: format!("pi_{session}"), amount_refunded })
}

/// An operation that is done.
fn operation(kind: OperationKind, target: &str) -> Operation {
    Operation { id: Uuid::new_v4(), kind, target: target.to_owned(), state: OperationState::Done, harmless: false }
}

/// Status, payment status, current invitee, session shown, and the plan in words.
fn outcome(facts: &[Fact]) -> (Status, PaymentStatus, String, Option<String>, Vec<String>) {
    let booking = fold(facts);
    let Plan { begin, .. } = plan(&booking, &[]);
    let words = begin.iter().map(|op| format!("{} {}", op.kind.as_str(), op.target)).collect();
    let Booking { status, payment_status, details, session, .. } = booking;
    (status, payment_status, details.invitee_uri, session.map(|session| session.id), words)
}

#[track_caller]
fn check(facts: &[Fact], status: Status, payment: PaymentStatus, invitee: &str, session: Option<&str>, todo: &[&str]) {
    let expected = (
        status,
        payment,
        invitee.to_owned(),
        session.map(str::to_owned),
        todo.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>(),
    );
    assert_eq!(outcome(facts), expected);
}

use PaymentStatus::{NotRequired, Paid, RefundFailed, RefundPending, Refunded, Unpaid};
use Status::{Canceled, Confirmed, PendingPayment};

#[test]
fn a_booking_wants_one_session_and_its_payment_confirms_it() {
    let mut facts = vec![priced(), created(10, "a")];
    check(&facts, PendingPayment, Unpaid, "a", None, &["create_session 0.0#0 type"]);
    facts.push(opened(11, "s", "0.0"));
    check(&facts, PendingPayment, Unpaid, "a", Some("s"), &[]);
    facts.push(paid(12, "s"));
    check(&facts, Confirmed, Paid, "a", Some("s"), &[]);
}

#[test]
fn free_and_paid_at_calendly_need_no_session() {
    let free = fact(0, FactKind::Priced { event_type_uri: "type".to_owned(), price: Price::Free });
    check(&[free, created(10, "a")], Confirmed, NotRequired, "a", None, &[]);
    let covered = fact(10, FactKind::Booked(Details { paid_at_calendly: true, ..details("a", None) }));
    check(&[priced(), covered], Confirmed, NotRequired, "a", None, &[]);
}

#[test]
fn a_cancel_closes_the_session_or_returns_the_payment_once() {
    let unpaid = [priced(), created(10, "a"), opened(11, "s", "0.0"), canceled(20, "a")];
    check(&unpaid, Canceled, Unpaid, "a", None, &["expire_session s"]);
    let mut facts = vec![priced(), created(10, "a"), opened(11, "s", "0.0"), paid(12, "s"), canceled(20, "a")];
    check(&facts, Canceled, RefundPending, "a", Some("s"), &["refund pi_s"]);
    facts.push(refund(21, "r", "s", 5000, RefundStatus::Pending));
    check(&facts, Canceled, RefundPending, "a", Some("s"), &[]);
    facts.push(refund(22, "r", "s", 5000, RefundStatus::Succeeded));
    facts.push(charge_refunded(22, "s", 5000));
    check(&facts, Canceled, Refunded, "a", Some("s"), &[]);
    facts.push(refund(90, "r", "s", 5000, RefundStatus::Failed));
    assert_eq!(outcome(&facts).1, RefundFailed);
    // That we have tried, the ledger knows: it is an operator's to repeat.
    let refund = operation(OperationKind::Refund, "pi_s");
    assert_eq!(plan(&fold(&facts), &[refund]), Plan::default());
}

/// What somebody tried in the dashboard, in vain, is no try of ours: otherwise the money that a cancellation returns would
/// hang on which of the two is heard of first.
#[test]
fn a_refund_that_failed_in_the_dashboard_does_not_keep_a_cancel_from_returning_the_payment() {
    let mut facts = vec![priced(), created(10, "a"), opened(11, "s", "0.0"), paid(12, "s")];
    facts.push(refund(13, "r", "s", 5000, RefundStatus::Failed));
    check(&facts, Confirmed, RefundFailed, "a", Some("s"), &[]);
    facts.push(canceled(20, "a"));
    check(&facts, Canceled, RefundFailed, "a", Some("s"), &["refund pi_s"]);
    facts.push(refund(21, "q", "s", 5000, RefundStatus::Succeeded));
    check(&facts, Canceled, Refunded, "a", Some("s"), &[]);
}

#[test]
fn a_refund_is_not_done_because_the_charge_says_so_while_it_is_pending() {
    let mut facts = vec![priced(), created(10, "a"), opened(11, "s", "0.0"), paid(12, "s"), canceled(20, "a")];
    facts.push(refund(21, "r", "s", 5000, RefundStatus::Pending));
    facts.push(charge_refunded(21, "s", 5000));
    check(&facts, Canceled, RefundPending, "a", Some("s"), &[]);
}

#[test]
fn a_payment_after_the_cancel_goes_back() {
    let facts = [priced(), created(10, "a"), opened(11, "s", "0.0"), canceled(20, "a"), paid(25, "s")];
    check(&facts, Canceled, RefundPending, "a", Some("s"), &["refund pi_s"]);
}

#[test]
fn a_partial_refund_from_the_dashboard_leaves_the_booking_alone() {
    let mut facts =
        vec![priced(), created(10, "a"), opened(11, "s", "0.0"), paid(12, "s"), charge_refunded(30, "s", 1000)];
    check(&facts, Confirmed, Paid, "a", Some("s"), &[]);
    facts.push(charge_refunded(31, "s", 5000));
    check(&facts, Confirmed, Refunded, "a", Some("s"), &[]);
}

/// Nobody but Stripe's webhooks tells of these refunds.
#[test]
fn a_refund_from_the_dashboard_that_fails_later_shows() {
    let mut facts = vec![priced(), created(10, "a"), opened(11, "s", "0.0"), paid(12, "s")];
    facts.push(refund(30, "r", "s", 1000, RefundStatus::Failed));
    check(&facts, Confirmed, Paid, "a", Some("s"), &[]);
    facts.push(refund(31, "q", "s", 5000, RefundStatus::Succeeded));
    facts.push(charge_refunded(31, "s", 5000));
    check(&facts, Confirmed, Refunded, "a", Some("s"), &[]);
    facts.push(refund(40, "q", "s", 5000, RefundStatus::Failed));
    check(&facts, Confirmed, RefundFailed, "a", Some("s"), &[]);
    facts.push(refund(50, "p", "s", 5000, RefundStatus::Succeeded));
    check(&facts, Confirmed, Refunded, "a", Some("s"), &[]);
}

#[test]
fn a_reschedule_keeps_the_payment_whichever_way_it_is_told() {
    let base = || vec![priced(), created(10, "a"), opened(11, "s", "0.0"), paid(12, "s")];
    let pair = [base(), vec![left(20, "a", "b"), moved(20, "a", "b")]].concat();
    let single = [base(), vec![moved(20, "a", "b")]].concat();
    let half = [base(), vec![left(20, "a", "b")]].concat();
    check(&pair, Confirmed, Paid, "b", Some("s"), &[]);
    check(&single, Confirmed, Paid, "b", Some("s"), &[]);
    check(&half, Confirmed, Paid, "a", Some("s"), &[]);
    // The old invitee is gone: a late cancel of it says nothing about the new one.
    check(&[pair.clone(), vec![canceled(30, "a")]].concat(), Confirmed, Paid, "b", Some("s"), &[]);
    check(&[pair, vec![canceled(30, "b")]].concat(), Canceled, RefundPending, "b", Some("s"), &["refund pi_s"]);
}

#[test]
fn a_chain_of_the_same_moment_ends_at_its_end() {
    for names in [["a", "b", "c"], ["c", "b", "a"], ["b", "c", "a"]] {
        let [first, second, third] = names;
        let facts = [priced(), created(10, first), moved(20, second, third), moved(20, first, second)];
        assert_eq!(fold(&facts).details.invitee_uri, third);
    }
}

#[test]
fn a_canceled_booking_comes_back_unpaid_with_a_new_session() {
    let facts = [
        priced(),
        created(10, "a"),
        opened(11, "s", "0.0"),
        paid(12, "s"),
        canceled(20, "a"),
        refund(21, "r", "s", 5000, RefundStatus::Succeeded),
        moved(30, "a", "b"),
    ];
    check(&facts, PendingPayment, Unpaid, "b", None, &[&format!("create_session {}#0 type", slot("b"))]);
}

#[test]
fn an_expired_session_is_replaced_only_when_asked() {
    let mut facts = vec![priced(), created(10, "a"), opened(11, "s", "0.0"), expired(99, "s")];
    check(&facts, PendingPayment, Unpaid, "a", None, &[]);
    facts.push(fact(100, FactKind::CheckoutRequested));
    check(&facts, PendingPayment, Unpaid, "a", None, &["create_session 0.1#0 type"]);
}

/// Stripe tells whole seconds: a payment that followed a comeback within the second must not count as before it.
#[test]
fn a_payment_in_the_second_of_a_comeback_is_kept() {
    let mut gone = canceled(20, "a");
    let mut back = moved(20, "a", "b");
    gone.occurred_at += jiff::SignedDuration::from_millis(300);
    back.occurred_at += jiff::SignedDuration::from_millis(600);
    let facts = [priced(), created(10, "a"), gone, back, opened(20, "s", &slot("b")), paid(20, "s")];
    check(&facts, Confirmed, Paid, "b", Some("s"), &[]);
}

/// The other way round: paid, cancelled and booked again within one second. The payment came through the first session.
#[test]
fn a_payment_in_the_second_of_its_cancel_is_not_the_comebacks() {
    let mut gone = canceled(20, "a");
    let mut back = moved(20, "a", "b");
    gone.occurred_at += jiff::SignedDuration::from_millis(300);
    back.occurred_at += jiff::SignedDuration::from_millis(600);
    let facts = [priced(), created(10, "a"), opened(11, "s", "0.0"), paid(20, "s"), gone, back];
    check(&facts, PendingPayment, Unpaid, "b", None, &["refund pi_s", &format!("create_session {}#0 type", slot("b"))]);
}

#[test]
fn a_second_payment_goes_back() {
    let facts =
        [priced(), created(10, "a"), opened(11, "s", "0.0"), opened(12, "t", "0.0"), paid(13, "t"), paid(14, "s")];
    check(&facts, Confirmed, Paid, "a", Some("t"), &["refund pi_s"]);
}

#[test]
fn money_under_way_opens_no_second_session() {
    let mut facts = vec![priced(), created(10, "a"), opened(11, "s", "0.0")];
    facts.push(fact(12, FactKind::SessionProcessing { session_id: "s".to_owned() }));
    check(&facts, PendingPayment, Unpaid, "a", None, &[]);
    facts.push(fact(13, FactKind::SessionFailed { session_id: "s".to_owned() }));
    check(&facts, PendingPayment, Unpaid, "a", None, &[]);
}

/// A customer used the caller's link twice and one of the two appointments is cancelled: the other stands.
#[test]
fn a_cancel_of_one_of_two_appointments_leaves_the_other() {
    let mut facts = vec![priced(), created(10, "a"), opened(11, "s", "0.0"), paid(12, "s"), created(20, "b")];
    facts.push(canceled(30, "b"));
    check(&facts, Confirmed, Paid, "a", Some("s"), &[]);
    facts.push(canceled(40, "a"));
    check(&facts, Canceled, RefundPending, "a", Some("s"), &["refund pi_s"]);
}

/// Two payments, of which the one that looked like the second has been sent back when the truth comes out.
#[test]
fn what_has_gone_back_is_not_kept_while_another_payment_is_here() {
    let mut facts = vec![
        priced(),
        created(10, "a"),
        opened(11, "s", "0.0"),
        opened(12, "t", "0.0"),
        paid(13, "s"),
        paid(14, "t"),
        refund(20, "r", "s", 5000, RefundStatus::Succeeded),
    ];
    check(&facts, Confirmed, Paid, "a", Some("t"), &[]);
    facts.remove(5);
    check(&facts, Confirmed, Refunded, "a", Some("s"), &["expire_session t"]);
}

/// A session that we expired was not the customer's chance: the booking came back before anybody knew it was gone.
#[test]
fn a_session_that_we_expired_is_replaced() {
    let facts = [priced(), created(10, "a"), opened(11, "s", "0.0"), expired(12, "s"), moved(20, "a", "b")];
    let created = operation(OperationKind::CreateSession, "0.0#0 type");
    let expired = operation(OperationKind::ExpireSession, "s");
    let targets = |ledger: &[Operation]| -> Vec<String> {
        plan(&fold(&facts), ledger).begin.into_iter().map(|begun| begun.target).collect()
    };
    assert_eq!(targets(&[created.clone(), expired]), ["0.0#1 type"]);
    assert_eq!(targets(&[created]), Vec::<String>::new(), "Stripe's clock ended it: an operator decides");
}

#[test]
fn a_ring_of_reschedules_ends() {
    fold(&[priced(), moved(10, "a", "b"), moved(10, "b", "c"), moved(10, "c", "a")]);
}

fn any_fact() -> impl Strategy<Value = Fact> {
    let invitee = prop::sample::select(vec!["a", "b", "c"]);
    let session = prop::sample::select(vec!["s", "t"]);
    let status = prop::sample::select(vec![RefundStatus::Pending, RefundStatus::Succeeded, RefundStatus::Failed]);
    // Few moments, so that ties are common.
    let at = 1..4_i64;
    prop_oneof![
        (at.clone(), invitee.clone()).prop_map(|(at, a)| created(at, a)),
        (at.clone(), invitee.clone(), invitee.clone()).prop_map(|(at, a, b)| moved(at, a, b)),
        (at.clone(), invitee.clone(), invitee.clone()).prop_map(|(at, a, b)| left(at, a, b)),
        (at.clone(), invitee.clone()).prop_map(|(at, a)| canceled(at, a)),
        (at.clone(), session.clone()).prop_map(|(at, s)| opened(at, s, "0.0")),
        (at.clone(), session.clone()).prop_map(|(at, s)| paid(at, s)),
        (at.clone(), session.clone()).prop_map(|(at, s)| expired(at, s)),
        (at.clone(), session.clone(), status).prop_map(|(at, s, status)| refund(
            at,
            &format!("r_{s}"),
            s,
            5000,
            status
        )),
        (at.clone(), session, 1..3_i64).prop_map(|(at, s, half)| charge_refunded(at, s, half * 2500)),
        at.prop_map(|at| fact(at, FactKind::CheckoutRequested)),
    ]
}

fn any_operation() -> impl Strategy<Value = Operation> {
    use OperationKind::{CreateSession, ExpireSession, Refund};
    let what = prop::sample::select(vec![
        (CreateSession, "0.0#0 type"),
        (CreateSession, "1.0#0 type"),
        (ExpireSession, "s"),
        (ExpireSession, "t"),
        (Refund, "pi_s"),
        (Refund, "pi_t"),
    ]);
    let states = [OperationState::Pending, OperationState::Done, OperationState::Failed, OperationState::Abandoned];
    (any::<u128>(), what, prop::sample::select(states.to_vec()), any::<bool>()).prop_map(
        |(id, (kind, target), state, harmless)| Operation {
            id: Uuid::from_u128(id),
            kind,
            target: target.to_owned(),
            state,
            harmless,
        },
    )
}

fn permutations(facts: &[Fact]) -> Vec<Vec<Fact>> {
    let Some((first, rest)) = facts.split_first() else { return vec![Vec::new()] };
    let mut all = Vec::new();
    for permutation in permutations(rest) {
        for place in 0..=permutation.len() {
            let mut longer = permutation.clone();
            longer.insert(place, first.clone());
            all.push(longer);
        }
    }
    all
}

fn once(mut facts: Vec<Fact>) -> Vec<Fact> {
    // As in the database: one row for each id, with the earliest time.
    facts.sort_by_key(|fact| (fact.id, fact.occurred_at));
    facts.dedup_by_key(|fact| fact.id);
    facts
}

proptest! {
    #[test]
    fn every_permutation_folds_and_plans_alike(
        facts in prop::collection::vec(any_fact(), 1..6),
        ledger in prop::collection::vec(any_operation(), 0..4),
    ) {
        let facts = once([vec![priced()], facts].concat());
        let expected = fold(&facts);
        for permutation in permutations(&facts) {
            let booking = fold(&permutation);
            prop_assert_eq!(&booking, &expected);
            prop_assert_eq!(plan(&booking, &ledger), plan(&expected, &ledger));
        }
    }

    #[test]
    fn long_histories_fold_alike_shuffled_and_duplicated(
        (facts, shuffled) in prop::collection::vec(any_fact(), 1..30).prop_flat_map(|facts| {
            let facts = once(facts);
            let doubled = [facts.clone(), facts.clone()].concat();
            (Just(facts), Just(doubled).prop_shuffle())
        })
    ) {
        prop_assert_eq!(fold(&facts), fold(&shuffled));
    }

    #[test]
    fn a_kept_payment_is_never_returned_and_a_canceled_booking_keeps_none(facts in prop::collection::vec(any_fact(), 1..20)) {
        let booking = fold(&once(facts));
        if let (Status::Confirmed, Some(session)) = (booking.status, &booking.session) {
            prop_assert!(!booking.refunds_owed.iter().any(|intent| session.paid_by(intent)));
        }
        if booking.status == Status::Canceled {
            prop_assert_ne!(booking.payment_status, PaymentStatus::Paid);
            prop_assert!(!booking.wants_session);
        }
    }
}
