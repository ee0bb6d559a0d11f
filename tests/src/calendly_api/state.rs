//! What Calendly has.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::answer::Answer;
use super::meetings::Meeting;
use super::requests::Received;
use super::{Fault, Taken, USER};

pub(super) struct Stored {
    pub(super) shown: Value,
    pub(super) signing_key: Option<String>,
}

/// A window that lets so many requests in.
pub(super) struct Limit {
    most: u32,
    window: Duration,
    began: Instant,
    used: u32,
}

impl Limit {
    pub(super) fn new(most: u32, window: Duration) -> Self {
        Self { most, window, began: Instant::now(), used: 0 }
    }

    /// Counts a request: whether it is let in, and the headers that tell of it.
    pub(super) fn count(&mut self) -> (bool, Vec<(&'static str, String)>) {
        if self.began.elapsed() >= self.window {
            (self.began, self.used) = (Instant::now(), 0);
        }
        let fits = self.used < self.most;
        self.used += u32::from(fits);
        let left = self.window.saturating_sub(self.began.elapsed());
        // Whole seconds, upwards: who waits that long is let in.
        let reset = left.as_secs() + u64::from(left.subsec_nanos() > 0);
        let headers = vec![
            ("X-RateLimit-Limit", self.most.to_string()),
            ("X-RateLimit-Remaining", (self.most - self.used).to_string()),
            ("X-RateLimit-Reset", reset.to_string()),
        ];
        (fits, headers)
    }
}

#[derive(Default)]
pub(super) struct State {
    pub(super) subscriptions: Vec<Stored>,
    pub(super) meetings: Vec<Meeting>,
    made: u32,
    pub(super) taken: Taken,
    pub(super) no_webhooks: bool,
    pub(super) no_admin: bool,
    pub(super) limit: Option<Limit>,
    pub(super) faults: Vec<(&'static str, &'static str, Fault)>,
    pub(super) journal: Vec<Received>,
}

impl State {
    /// Makes a subscription of a checked body; its URI.
    pub(super) fn insert(&mut self, body: &Value) -> String {
        self.made += 1;
        let uri = format!("https://api.calendly.com/webhook_subscriptions/AAAA{:012}", self.made);
        // Later ones are younger, however fast they are made.
        let at = (Timestamp::now() + SignedDuration::from_millis(i64::from(self.made))).to_string();
        let shown = json!({
            "uri": uri, "callback_url": body["url"], "created_at": at, "updated_at": at, "retry_started_at": null,
            "state": "active", "events": body["events"], "scope": body["scope"], "organization": body["organization"],
            "user": body["user"], "group": body["group"], "creator": USER,
        });
        let signing_key = body["signing_key"].as_str().map(str::to_owned);
        self.subscriptions.push(Stored { shown, signing_key });
        uri
    }

    pub(super) fn change(&mut self, uri: &str, field: &str, value: Value) {
        let one = self.subscriptions.iter_mut().find(|one| one.shown["uri"] == uri);
        one.expect("the subscription is there").shown[field] = value;
    }

    pub(super) fn create(&mut self, body: &Value) -> Result<Answer, Answer> {
        self.check_new(body)?;
        let blocks = |one: &Stored| match self.taken {
            Taken::ByAny => true,
            Taken::ByActive => one.shown["state"] == "active",
            Taken::Never => false,
        };
        if self.subscriptions.iter().any(|one| one.shown["callback_url"] == body["url"] && blocks(one)) {
            return Err(Answer::of_status(409));
        }
        let uri = self.insert(body);
        self.subscription(uri.rsplit('/').next().unwrap()).map(|found| Answer { status: 201, ..found })
    }

    pub(super) fn subscription(&self, id: &str) -> Result<Answer, Answer> {
        let index = self.position(id)?;
        Ok(Answer::new(200, json!({ "resource": self.subscriptions[index].shown })))
    }

    pub(super) fn delete(&mut self, id: &str) -> Result<Answer, Answer> {
        let index = self.position(id)?;
        self.subscriptions.remove(index);
        Ok(Answer::new(204, Value::Null))
    }

    pub(super) fn list(&self, query: &BTreeMap<String, String>) -> Result<Answer, Answer> {
        self.check_list(query)?;
        let asked = ["scope", "organization", "user", "group"];
        let is_asked_for =
            |one: &&Value| asked.iter().all(|name| query.get(*name).is_none_or(|value| one[name] == value.as_str()));
        page(self.subscriptions.iter().map(|one| &one.shown).filter(is_asked_for), query)
    }

    fn position(&self, id: &str) -> Result<usize, Answer> {
        let ends = |one: &Stored| one.shown["uri"].as_str().unwrap().rsplit('/').next() == Some(id);
        self.subscriptions.iter().position(ends).ok_or_else(Answer::not_found)
    }
}

/// A page of 20, or of `count`. A token is good for going on only.
pub(super) fn page<'a>(
    all: impl Iterator<Item = &'a Value>,
    query: &BTreeMap<String, String>,
) -> Result<Answer, Answer> {
    let all: Vec<&Value> = all.collect();
    let size = query.get("count").and_then(|count| count.parse().ok()).unwrap_or(20_usize);
    let token = |from: usize| format!("page-{from}");
    let begin = match query.get("page_token") {
        None => 0,
        Some(given) => (1..all.len())
            .find(|from| token(*from) == *given)
            .ok_or_else(|| Answer::invalid("page_token", "is invalid"))?,
    };
    let end = (begin + size).min(all.len());
    let next = (end < all.len()).then(|| token(end));
    let link = next.as_ref().map(|token| format!("https://api.calendly.com/next?page_token={token}"));
    let pagination = json!({
        "count": end - begin, "next_page": link, "previous_page": null, "next_page_token": next,
        "previous_page_token": null,
    });
    Ok(Answer::new(200, json!({ "collection": &all[begin..end], "pagination": pagination })))
}
