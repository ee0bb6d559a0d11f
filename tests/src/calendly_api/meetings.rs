//! What Calendly tells of meetings and of those who booked them: the resources that its deliveries are made of, as they
//! stand now.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::USER;
use super::answer::Answer;
use super::requests::check_query;
use super::state::{State, page};
use crate::calendly::Invitee;

pub(super) struct Meeting {
    shown: Value,
    invitees: Vec<Value>,
}

fn micros(at: Timestamp) -> String {
    format!("{at:.6}")
}

fn id_of(uri: &Value) -> Option<&str> {
    uri.as_str()?.rsplit('/').next()
}

impl State {
    /// They book. A meeting for one changes with its invitee; that of a group does not, of which no source tells.
    pub(super) fn book(&mut self, invitee: &Invitee, limit: u32) {
        let mut payload = invitee.created().json()["payload"].clone();
        let mut shown = payload.as_object_mut().unwrap().remove("scheduled_event").unwrap();
        shown["event_memberships"][0]["user"] = USER.into();
        shown["invitees_counter"] = json!({ "total": 0, "active": 0, "limit": limit });
        payload["updated_at"] = payload["created_at"].clone();
        let known = self.meetings.iter().position(|meeting| meeting.shown["uri"] == shown["uri"]);
        let index = known.unwrap_or(self.meetings.len());
        if known.is_none() {
            self.meetings.push(Meeting { shown, invitees: Vec::new() });
        }
        let meeting = &mut self.meetings[index];
        meeting.invitees.push(payload);
        meeting.count();
    }

    /// They cancel; `new` is the invitee that takes their place.
    pub(super) fn cancel(&mut self, invitee: &Invitee, at: Timestamp, new: Option<&Invitee>) {
        let (meeting, index) = self.find(invitee);
        let cancellation = json!({
            "canceled_by": invitee.name, "reason": "", "canceler_type": "invitee", "created_at": micros(at),
        });
        let canceled = &mut meeting.invitees[index];
        canceled["status"] = "canceled".into();
        canceled["cancellation"] = cancellation.clone();
        canceled["updated_at"] = micros(at).into();
        canceled["rescheduled"] = new.is_some().into();
        canceled["new_invitee"] = new.map_or(Value::Null, |new| new.uri.as_str().into());
        if meeting.shown["invitees_counter"]["limit"] == 1 {
            meeting.shown["status"] = "canceled".into();
            meeting.shown["cancellation"] = cancellation;
            meeting.shown["updated_at"] = micros(at).into();
        }
        meeting.count();
    }

    /// The host says that they did not come.
    pub(super) fn mark_no_show(&mut self, invitee: &Invitee, at: Timestamp) {
        let mark = invitee.no_show(true).json()["payload"]["no_show"]["uri"].clone();
        let (meeting, index) = self.find(invitee);
        meeting.invitees[index]["no_show"] = json!({ "uri": mark, "created_at": micros(at) });
    }

    fn find(&mut self, invitee: &Invitee) -> (&mut Meeting, usize) {
        let found = self.meetings.iter_mut().find_map(|meeting| {
            let index = meeting.invitees.iter().position(|one| one["uri"] == invitee.uri.as_str())?;
            Some((meeting, index))
        });
        found.expect("they have booked")
    }

    pub(super) fn events(&self, query: &BTreeMap<String, String>) -> Result<Answer, Answer> {
        let known = ["invitee_email", "max_start_time", "min_start_time", "sort", "status"];
        check_query(query, &[&["organization", "user", "group"], &known[..]].concat())?;
        self.check_whose(query)?;
        check_status(query)?;
        let descending = check_sort(query, "start_time")?;
        let (from, until) = (time(query, "min_start_time")?, time(query, "max_start_time")?);
        let is_asked_for = |meeting: &&Meeting| {
            let begins = begins(&meeting.shown);
            let booked_by = |email: &String| meeting.invitees.iter().any(|invitee| invitee["email"] == email.as_str());
            let hosted_by = |user: &String| meeting.shown["event_memberships"][0]["user"] == user.as_str();
            from.is_none_or(|from| begins >= from)
                && until.is_none_or(|until| begins < until)
                && query.get("status").is_none_or(|status| meeting.shown["status"] == status.as_str())
                && query.get("invitee_email").is_none_or(booked_by)
                && query.get("user").is_none_or(hosted_by)
        };
        let mut found: Vec<&Value> = self.meetings.iter().filter(is_asked_for).map(|meeting| &meeting.shown).collect();
        found.sort_by_key(|shown| begins(shown));
        if descending {
            found.reverse();
        }
        page(found.into_iter(), query)
    }

    pub(super) fn invitees(&self, id: &str, query: &BTreeMap<String, String>) -> Result<Answer, Answer> {
        check_query(query, &["email", "sort", "status"])?;
        check_status(query)?;
        let descending = check_sort(query, "created_at")?;
        let meeting = self.meetings.iter().find(|meeting| id_of(&meeting.shown["uri"]) == Some(id));
        let is_asked_for = |invitee: &&Value| {
            let same = |name: &str| query.get(name).is_none_or(|wanted| invitee[name] == wanted.as_str());
            same("status") && same("email")
        };
        let mut found: Vec<&Value> =
            meeting.ok_or_else(Answer::not_found)?.invitees.iter().filter(is_asked_for).collect();
        found.sort_by_key(|invitee| invitee["created_at"].to_string());
        if descending {
            found.reverse();
        }
        page(found.into_iter(), query)
    }
}

impl Meeting {
    fn count(&mut self) {
        let active = self.invitees.iter().filter(|invitee| invitee["status"] == "active").count();
        self.shown["invitees_counter"]["total"] = self.invitees.len().into();
        self.shown["invitees_counter"]["active"] = active.into();
    }
}

fn begins(shown: &Value) -> Timestamp {
    shown["start_time"].as_str().unwrap().parse().unwrap()
}

fn time(query: &BTreeMap<String, String>, name: &str) -> Result<Option<Timestamp>, Answer> {
    query.get(name).map(|text| text.parse().map_err(|_| Answer::invalid(name, "is no time"))).transpose()
}

fn check_status(query: &BTreeMap<String, String>) -> Result<(), Answer> {
    match query.get("status").map(String::as_str) {
        None | Some("active" | "canceled") => Ok(()),
        Some(_) => Err(Answer::invalid("status", "must be active or canceled")),
    }
}

/// Whether the order is the other way around.
fn check_sort(query: &BTreeMap<String, String>, field: &str) -> Result<bool, Answer> {
    match query.get("sort").map(|sort| sort.strip_prefix(field).unwrap_or_default()) {
        None | Some(":asc") => Ok(false),
        Some(":desc") => Ok(true),
        Some(_) => Err(Answer::invalid("sort", "is not a known order")),
    }
}
