//! What has been paid and returned, as sums: for those who count money, not for the booking's state.

use std::collections::BTreeMap;

use super::money::{Ledger, SessionState};
use crate::fact::{Fact, FactKind, RefundStatus};

/// Money that has moved. Amounts are in minor units, by currency.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turnover {
    /// Payments through our sessions.
    pub payments: BTreeMap<String, u64>,
    /// What they brought.
    pub received: BTreeMap<String, u64>,
    /// What went back of them.
    pub returned: BTreeMap<String, u64>,
    /// Refunds that Stripe has made.
    pub refunds_made: u64,
    /// Refunds that Stripe could not make, or had to take back.
    pub refunds_failed: u64,
}

impl Turnover {
    /// Whether a fact may change it.
    pub fn is_about(fact: &Fact) -> bool {
        matches!(fact.kind, FactKind::SessionPaid { .. } | FactKind::Refund { .. } | FactKind::ChargeRefunded { .. })
    }

    /// Of all facts of a booking.
    pub fn of(facts: &[Fact]) -> Self {
        let ledger = Ledger::join(facts);
        let mut turnover = Self::default();
        for session in &ledger.sessions {
            let SessionState::Paid(payment) = &session.state else { continue };
            *turnover.payments.entry(payment.currency.clone()).or_default() += 1;
            *turnover.received.entry(payment.currency.clone()).or_default() += amount(payment.amount);
            *turnover.returned.entry(payment.currency.clone()).or_default() += amount(ledger.returned(&payment.intent));
        }
        turnover.refunds_made = ledger.refunds_that_are(RefundStatus::Succeeded);
        turnover.refunds_failed = ledger.refunds_that_are(RefundStatus::Failed);
        turnover
    }

    /// What has come on top of `before`. A refund that was taken back is one that failed, and makes nothing less.
    #[must_use]
    pub fn since(mut self, before: &Self) -> Self {
        let less = |now: &mut BTreeMap<String, u64>, before: &BTreeMap<String, u64>| {
            for (currency, sum) in now {
                *sum = sum.saturating_sub(before.get(currency).copied().unwrap_or(0));
            }
        };
        less(&mut self.payments, &before.payments);
        less(&mut self.received, &before.received);
        less(&mut self.returned, &before.returned);
        self.refunds_made = self.refunds_made.saturating_sub(before.refunds_made);
        self.refunds_failed = self.refunds_failed.saturating_sub(before.refunds_failed);
        self
    }
}

fn amount(minor: i64) -> u64 {
    u64::try_from(minor).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;

    fn fact(kind: FactKind) -> Fact {
        Fact { id: Uuid::new_v4(), event_type: String::new(), occurred_at: Timestamp::UNIX_EPOCH, kind }
    }

    fn paid(session: &str, amount: i64, currency: &str) -> Fact {
        fact(FactKind::SessionPaid {
            session_id: session.to_owned(),
            payment_intent: format!("pi_{session}"),
            amount,
            currency: currency.to_owned(),
        })
    }

    fn refund(session: &str, amount: i64, status: RefundStatus) -> Fact {
        let (refund_id, payment_intent) = (format!("re_{session}"), format!("pi_{session}"));
        fact(FactKind::Refund { refund_id, payment_intent, amount, status })
    }

    fn sums(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
        pairs.iter().map(|(currency, sum)| ((*currency).to_owned(), *sum)).collect()
    }

    #[test]
    fn each_payment_and_each_refund_counts_once_however_often_it_is_told() {
        let mut facts = vec![paid("a", 5000, "usd"), paid("a", 5000, "usd"), paid("b", 70, "eur")];
        let before = Turnover::of(&facts);
        assert_eq!(before.payments, sums(&[("eur", 1), ("usd", 1)]));
        assert_eq!(before.received, sums(&[("eur", 70), ("usd", 5000)]));
        facts.push(refund("a", 5000, RefundStatus::Pending));
        assert_eq!(Turnover::of(&facts).since(&before).returned, sums(&[("eur", 0), ("usd", 0)]));
        facts.extend([refund("a", 5000, RefundStatus::Succeeded), refund("a", 5000, RefundStatus::Succeeded)]);
        let made = Turnover::of(&facts);
        let more = made.clone().since(&before);
        assert_eq!(
            (more.returned, more.refunds_made, more.payments["usd"]),
            (sums(&[("eur", 0), ("usd", 5000)]), 1, 0)
        );
        facts.push(refund("a", 5000, RefundStatus::Failed));
        let more = Turnover::of(&facts).since(&made);
        assert_eq!((more.returned["usd"], more.refunds_made, more.refunds_failed), (0, 0, 1), "it was taken back");
    }

    #[test]
    fn a_refund_from_the_dashboard_is_known_by_its_charge() {
        let charge = fact(FactKind::ChargeRefunded { payment_intent: "pi_a".to_owned(), amount_refunded: 1200 });
        let turnover = Turnover::of(&[paid("a", 5000, "usd"), charge]);
        assert_eq!(turnover.returned, sums(&[("usd", 1200)]));
    }
}
