//! Idempotency keys: the first execution's answer is kept and replayed, a 500 too.

use std::collections::HashMap;

use super::error::{Answer, Refusal};
use super::params::Params;

/// How long a key is kept; the documents say "at least 24 hours", so the double forgets as early as it may.
const KEPT: i64 = 24 * 60 * 60;

/// What a key stands for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Use {
    pub(super) path: String,
    pub(super) params: Params,
}

#[derive(Debug)]
struct Slot {
    used: Use,
    since: i64,
    request: String,
    /// Absent while the first request runs.
    answer: Option<Answer>,
}

#[derive(Debug, Default)]
pub(super) struct Keys(HashMap<String, Slot>);

impl Keys {
    pub(super) fn forget(&mut self) {
        self.0.retain(|_, slot| slot.answer.is_none());
    }

    fn forget_old(&mut self, key: &str, now: i64) {
        let old = self.0.get(key).is_some_and(|slot| slot.answer.is_some() && now - slot.since >= KEPT);
        if old {
            self.0.remove(key);
        }
    }

    /// Whether this request would be answered from a saved answer.
    pub(super) fn is_saved(&mut self, key: Option<&str>, now: i64) -> bool {
        let Some(key) = key else { return false };
        self.forget_old(key, now);
        self.0.get(key).is_some_and(|slot| slot.answer.is_some())
    }

    /// The answer that the key already has: saved, or a refusal of the reuse. `None` when the request is to run.
    pub(super) fn answer(&mut self, key: &str, used: &Use, now: i64) -> Option<Answer> {
        self.forget_old(key, now);
        let slot = self.0.get(key)?;
        if slot.used.path != used.path {
            let (was, is) = (&slot.used.path, &used.path);
            return Some(mismatch(key, &format!("for the same endpoint they were first used for ('{was}' vs '{is}')")));
        }
        if slot.used.params != used.params {
            return Some(mismatch(key, "with the same parameters they were first used with"));
        }
        let Some(mut answer) = slot.answer.clone() else { return Some(in_use()) };
        answer.headers.push(("Idempotent-Replayed", "true".to_owned()));
        answer.headers.push(("Original-Request", slot.request.clone()));
        Some(answer)
    }

    pub(super) fn begin(&mut self, key: &str, used: Use, request: &str, now: i64) {
        let slot = Slot { used, since: now, request: request.to_owned(), answer: None };
        self.0.insert(key.to_owned(), slot);
    }

    pub(super) fn save(&mut self, key: &str, answer: &Answer) {
        if let Some(slot) = self.0.get_mut(key) {
            slot.answer = Some(answer.clone());
        }
    }
}

fn mismatch(key: &str, how: &str) -> Answer {
    let message = format!(
        "Keys for idempotent requests can only be used {how}. \
         Try using a key other than '{key}' if you meant to execute a different request."
    );
    Refusal::new(400, "idempotency_error", message).into_answer()
}

fn in_use() -> Answer {
    let message = "There is currently another in-progress request using this Stripe-Idempotency-Key.";
    let refusal = Refusal::new(409, "idempotency_error", message).code("idempotency_key_in_use");
    refusal.header("Stripe-Should-Retry", "true").into_answer()
}
