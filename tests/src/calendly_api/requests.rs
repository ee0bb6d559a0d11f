//! Reads requests as strictly as Calendly.

use std::collections::BTreeMap;

use axum::http::HeaderMap;
use serde_json::Value;

use super::answer::Answer;
use super::state::State;
use super::{GROUP, ORGANIZATION, TOKEN, USER};

const KNOWN_EVENTS: [&str; 11] = [
    "invitee.created",
    "invitee.canceled",
    "invitee_no_show.created",
    "invitee_no_show.deleted",
    "routing_form_submission.created",
    "event_type.created",
    "event_type.updated",
    "event_type.deleted",
    "contact.created",
    "contact.updated",
    "contact.deleted",
];

/// A request that came in.
#[derive(Clone, Debug)]
pub struct Received {
    /// `GET`, `POST` or `DELETE`.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The query's parameters.
    pub query: BTreeMap<String, String>,
    /// The JSON body; null when there is none.
    pub body: Value,
    /// What it was answered with.
    pub status: u16,
}

pub(super) fn authenticated(headers: &HeaderMap) -> bool {
    headers.get("authorization").is_some_and(|given| given.as_bytes() == format!("Bearer {TOKEN}").as_bytes())
}

/// Pages, and nothing that is not known.
pub(super) fn check_query(query: &BTreeMap<String, String>, known: &[&str]) -> Result<(), Answer> {
    let is_known = |name: &str| ["count", "page_token"].contains(&name) || known.contains(&name);
    if let Some(name) = query.keys().find(|name| !is_known(name)) {
        return Err(Answer::invalid(name, "is not a known parameter"));
    }
    match query.get("count") {
        Some(count) if !count.parse().is_ok_and(|count: u32| (1..=100).contains(&count)) => {
            Err(Answer::invalid("count", "must be between 1 and 100"))
        }
        _ => Ok(()),
    }
}

fn denied() -> Answer {
    Answer::error(403, "Permission Denied", "You do not have permission to access this resource.")
}

impl State {
    /// What a list of subscriptions may be asked for: the scope with its subject, and pages.
    pub(super) fn check_list(&self, query: &BTreeMap<String, String>) -> Result<(), Answer> {
        check_query(query, &["scope", "organization", "user", "group"])?;
        let text = |name: &str| query.get(name).map(String::as_str);
        self.check_subject(text("scope"), text("organization"), text("user"), text("group"))
    }

    /// Whose meetings may be listed: the organization's, and a user's of it, by its administrators; a user's and a group's alone by
    /// themselves.
    pub(super) fn check_whose(&self, query: &BTreeMap<String, String>) -> Result<(), Answer> {
        let text = |name: &str| query.get(name).map(String::as_str);
        match (text("organization"), text("user"), text("group")) {
            (None, None, None) => Err(Answer::invalid("organization", "must be filled")),
            (_, Some(_), Some(_)) => Err(Answer::invalid("group", "does not go with the rest")),
            (Some(ORGANIZATION), ..) if !self.no_admin => Ok(()),
            (None, Some(USER), None) | (None, None, Some(GROUP)) => Ok(()),
            _ => Err(denied()),
        }
    }

    /// What a subscription may be made of.
    pub(super) fn check_new(&self, body: &Value) -> Result<(), Answer> {
        let Some(fields) = body.as_object() else { return Err(Answer::invalid("body", "must be an object")) };
        let known = ["url", "events", "organization", "user", "group", "scope", "signing_key"];
        if let Some(name) = fields.keys().find(|name| !known.contains(&name.as_str())) {
            return Err(Answer::invalid(name, "is not a known parameter"));
        }
        let text = |name: &str| fields.get(name).and_then(Value::as_str);
        let address = text("url").and_then(|url| reqwest::Url::parse(url).ok());
        if !address.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) {
            return Err(Answer::invalid("url", "is not a valid URL"));
        }
        let events: Vec<_> = fields.get("events").and_then(Value::as_array).into_iter().flatten().collect();
        let is_known = |event: &&Value| event.as_str().is_some_and(|event| KNOWN_EVENTS.contains(&event));
        if events.is_empty() || !events.iter().all(is_known) {
            return Err(Answer::invalid("events", "is invalid"));
        }
        if fields.get("signing_key").is_some_and(|key| key.as_str().is_none_or(str::is_empty)) {
            return Err(Answer::invalid("signing_key", "must be filled"));
        }
        if self.no_webhooks {
            return Err(Answer::of_status(403));
        }
        self.check_subject(text("scope"), text("organization"), text("user"), text("group"))
    }

    /// `scope` with exactly what belongs to it.
    fn check_subject(
        &self,
        scope: Option<&str>,
        organization: Option<&str>,
        user: Option<&str>,
        group: Option<&str>,
    ) -> Result<(), Answer> {
        match organization {
            None => return Err(Answer::invalid("organization", "must be filled")),
            Some(ORGANIZATION) => {}
            Some(_) => return Err(denied()),
        }
        match (scope, user, group) {
            (Some("organization" | "group"), ..) if self.no_admin => Err(denied()),
            (Some("organization"), None, None) | (Some("user"), Some(_), None) | (Some("group"), None, Some(_)) => {
                Ok(())
            }
            (Some("organization" | "user" | "group"), ..) => Err(Answer::invalid("scope", "does not go with the rest")),
            _ => Err(Answer::invalid("scope", "must be organization, user or group")),
        }
    }
}
