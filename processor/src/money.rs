//! Counts the money that has moved, once it is in the database.

use bookings::store::Answers;
use bookings::{OperationKind, Turnover};
use runtime::metrics::{PAYMENTS, PAYMENTS_AMOUNT, REFUNDS, REFUNDS_AMOUNT};

/// Shows the counters that have no currency, before anything has happened.
pub(crate) fn zero_counters() {
    for outcome in ["succeeded", "failed"] {
        metrics::counter!(REFUNDS, "outcome" => outcome).increment(0);
    }
}

/// Counts what the requests of a committed transaction brought. What a crash cuts off between commit and here is not
/// counted; the database has it.
pub(crate) fn count(answers: &Answers) {
    for turnover in answers.iter().flatten().map(|applied| &applied.turnover) {
        let Turnover { payments, received, returned, refunds_made, refunds_failed } = turnover;
        for (name, sums) in [(PAYMENTS, payments), (PAYMENTS_AMOUNT, received), (REFUNDS_AMOUNT, returned)] {
            for (currency, sum) in sums {
                metrics::counter!(name, "currency" => currency.clone()).increment(*sum);
            }
        }
        for (outcome, refunds) in [("succeeded", *refunds_made), ("failed", *refunds_failed)] {
            if refunds > 0 {
                metrics::counter!(REFUNDS, "outcome" => outcome).increment(refunds);
            }
        }
    }
}

/// Counts a refund that Stripe refuses as one that failed: there will be no fact about it.
pub(crate) fn refused(kind: OperationKind) {
    if kind == OperationKind::Refund {
        metrics::counter!(REFUNDS, "outcome" => "failed").increment(1);
    }
}
