//! How results look.

use calendly::{Outcome, Subscription, Wish};
use serde::Serialize;

use super::key::Key;
use crate::output::table;

/// What `register` and `ensure` did, or would do.
#[derive(Serialize)]
pub(super) struct Done {
    pub(super) dry_run: bool,
    pub(super) outcome: Outcome,
    callback_url: String,
    /// None when it would have to be made.
    pub(super) subscription: Option<Subscription>,
    pub(super) deleted: Vec<String>,
    /// A key that was made and is written nowhere else.
    signing_key: Option<String>,
    signing_key_file: Option<String>,
}

impl Done {
    /// Before anything is done.
    pub(super) fn planned(wish: &Wish, outcome: Outcome) -> Self {
        Self {
            dry_run: true,
            outcome,
            callback_url: wish.url.to_string(),
            subscription: None,
            deleted: Vec::new(),
            signing_key: None,
            signing_key_file: None,
        }
    }

    /// A subscription was made, with this key.
    pub(super) fn is_done(&mut self, made: &Subscription, key: &Key) {
        self.dry_run = false;
        self.subscription = Some(made.clone());
        self.signing_key = key.to_print();
        self.signing_key_file = key.file();
    }

    pub(super) fn text(&self) -> String {
        let would = if self.dry_run { "would be " } else { "" };
        let mut lines = vec![match (&self.subscription, self.outcome) {
            (Some(one), Outcome::Unchanged) => format!("{} is as it should be", one.uri),
            (Some(one), outcome) => format!("{} is {}, delivering to {}", one.uri, word(outcome), self.callback_url),
            (None, outcome) => format!("a subscription delivering to {} {would}{}", self.callback_url, word(outcome)),
        }];
        lines.extend(
            self.deleted.iter().map(|uri| format!("{uri} {}deleted", if self.dry_run { would } else { "is " })),
        );
        if let Some(key) = &self.signing_key {
            lines.push(format!("signing key, shown this once, for CALENDLY_SIGNING_KEYS: {key}"));
        }
        if let Some(file) = &self.signing_key_file {
            lines.push(format!("signing key: in {file}, for CALENDLY_SIGNING_KEYS_FILE"));
        }
        lines.join("\n")
    }
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Unchanged => "unchanged",
        Outcome::Created => "created",
        Outcome::Replaced => "created in place of another",
        Outcome::Blocked => "not created, since another is in its place",
    }
}

/// What `delete` did, or would do.
#[derive(Serialize)]
pub(super) struct Deleted {
    pub(super) uri: String,
    pub(super) callback_url: String,
    pub(super) dry_run: bool,
}

impl Deleted {
    pub(super) fn text(&self) -> String {
        let done = if self.dry_run { "would be" } else { "is" };
        format!("{}, delivering to {}, {done} deleted", self.uri, self.callback_url)
    }
}

pub(super) fn list(found: &[Subscription]) -> String {
    let cells = |one: &Subscription| {
        let failing = one.retry_started_at.map_or_else(|| "-".to_owned(), |since| since.to_string());
        let events = one.events.iter().cloned().collect::<Vec<_>>().join(",");
        vec![one.uri.clone(), one.state.to_string(), failing, one.callback_url.clone(), events]
    };
    let cells: Vec<_> = found.iter().map(cells).collect();
    table(&["URI", "STATE", "FAILING SINCE", "DELIVERS TO", "EVENTS"], &cells)
}
