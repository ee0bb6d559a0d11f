//! What Calendly's webhook would have said of an invitee. Pure.
//!
//! The API tells how an invitee stands now; a delivery told how it stood when something happened. So what has happened
//! since is taken back: an invitee who has cancelled was active when they booked.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use crate::objects::{Invitee, ScheduledEvent};

/// How much earlier and later to look than a gap says: clocks differ, and a failing delivery says for a while only that
/// it failed once. What was delivered all the same comes twice and counts once.
const MARGIN: SignedDuration = SignedDuration::from_hours(1);

/// A time of which deliveries may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Its begin.
    pub since: Timestamp,
    /// Its end, which is not in it.
    pub until: Timestamp,
}

impl Gap {
    /// An hour more at both ends.
    #[must_use]
    pub fn widened(self) -> Self {
        let since = self.since.checked_sub(MARGIN).unwrap_or(Timestamp::MIN);
        Self { since, until: self.until.checked_add(MARGIN).unwrap_or(Timestamp::MAX) }
    }

    /// From the earlier begin to the later end.
    #[must_use]
    pub fn joined(self, other: Self) -> Self {
        Self { since: self.since.min(other.since), until: self.until.max(other.until) }
    }

    /// What has no time may have been any time.
    fn holds(&self, at: &At<'_>) -> bool {
        at.time.is_none_or(|time| self.since <= time && time < self.until)
    }
}

/// A delivery that may not have come: what its body would have been. Only [`crate::Backfill`] makes one, of what
/// Calendly told.
#[derive(Clone, PartialEq, Eq)]
pub struct Missed {
    event_type: &'static str,
    body: String,
}

impl std::fmt::Debug for Missed {
    /// Without the body, which is personal data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Missed").field("event_type", &self.event_type).finish_non_exhaustive()
    }
}

impl Missed {
    /// Every event type that can be told.
    pub const EVENT_TYPES: [&str; 3] = ["invitee.created", "invitee.canceled", "invitee_no_show.created"];

    /// Calendly's `event`.
    pub fn event_type(&self) -> &'static str {
        self.event_type
    }

    /// The JSON that Calendly would have sent, but for who subscribed.
    pub fn body(&self) -> &str {
        &self.body
    }
}

/// A time as it is written; in the gap if it cannot be read.
struct At<'a> {
    text: Option<&'a str>,
    time: Option<Timestamp>,
}

impl<'a> At<'a> {
    fn of(fields: &'a Map<String, Value>, name: &str) -> Self {
        let text = fields.get(name).and_then(Value::as_str);
        Self { text, time: text.and_then(|text| text.parse().ok()) }
    }

    fn or(self, other: impl FnOnce() -> Self) -> Self {
        if self.time.is_some() { self } else { other() }
    }
}

/// When anything about the meeting itself changed last, as far as it says; an invitee of a group may come and go without.
pub(crate) fn changed_at(event: &ScheduledEvent) -> Option<Timestamp> {
    let canceled = part(&event.fields, "cancellation").and_then(|fields| At::of(fields, "created_at").time);
    let own = ["created_at", "updated_at"].map(|name| At::of(&event.fields, name).time);
    // Without its own times nothing is known.
    let [Some(created), Some(updated)] = own else { return None };
    Some(created.max(updated).max(canceled.unwrap_or(created)))
}

/// What happened to an invitee in the gap, oldest first.
pub(crate) fn missed(event: &ScheduledEvent, invitee: &Invitee, gap: &Gap) -> Vec<Missed> {
    let [created, canceled, no_show] = Missed::EVENT_TYPES;
    let mut missed = Vec::new();
    let booked = At::of(&invitee.fields, "created_at");
    let is_canceled = invitee.fields.get("status").and_then(Value::as_str) == Some("canceled");
    // Without a time it would count as the latest word, and a cancelled booking would come back.
    if gap.holds(&booked) && !(is_canceled && booked.time.is_none()) {
        missed.push(delivery(created, &booked, as_booked(event, invitee)));
    }
    if is_canceled {
        let at = part(&invitee.fields, "cancellation").map(|fields| At::of(fields, "created_at"));
        let at = at.unwrap_or(At { text: None, time: None }).or(|| At::of(&invitee.fields, "updated_at"));
        // Whose booking is told, of them it is told too that it is over, whenever that was.
        if gap.holds(&at) || gap.holds(&booked) {
            missed.push(delivery(canceled, &at, as_is(event, invitee)));
        }
    }
    // Who was marked by mistake has none, and nothing tells that there was one.
    if let Some(mark) = part(&invitee.fields, "no_show") {
        let at = At::of(mark, "created_at");
        if gap.holds(&at) {
            missed.push(delivery(no_show, &at, as_is(event, invitee)));
        }
    }
    missed
}

fn delivery(event_type: &'static str, at: &At<'_>, payload: Map<String, Value>) -> Missed {
    let mut body = Map::new();
    if let Some(text) = at.text {
        body.insert("created_at".to_owned(), text.into());
    }
    body.insert("event".to_owned(), event_type.into());
    body.insert("payload".to_owned(), payload.into());
    Missed { event_type, body: Value::from(body).to_string() }
}

/// The payload as Calendly would send it now.
fn as_is(event: &ScheduledEvent, invitee: &Invitee) -> Map<String, Value> {
    let whole = |uri: &str, fields: &Map<String, Value>| {
        let mut whole = fields.clone();
        whole.insert("uri".to_owned(), uri.into());
        whole
    };
    let mut payload = whole(&invitee.uri, &invitee.fields);
    payload.insert("scheduled_event".to_owned(), whole(&event.uri, &event.fields).into());
    payload
}

/// The payload as Calendly sent it when they booked.
fn as_booked(event: &ScheduledEvent, invitee: &Invitee) -> Map<String, Value> {
    let mut payload = as_is(event, invitee);
    let booked_at = payload.get("created_at").cloned().unwrap_or_default();
    for (name, value) in [
        ("status", "active".into()),
        ("rescheduled", false.into()),
        ("new_invitee", Value::Null),
        ("no_show", Value::Null),
        ("updated_at", booked_at),
    ] {
        payload.insert(name.to_owned(), value);
    }
    payload.remove("cancellation");
    if let Some(meeting) = payload.get_mut("scheduled_event").and_then(Value::as_object_mut) {
        // Nobody can book a meeting that is cancelled.
        meeting.insert("status".to_owned(), "active".into());
        meeting.remove("cancellation");
    }
    payload
}

fn part<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a Map<String, Value>> {
    fields.get(name).and_then(Value::as_object)
}

#[cfg(test)]
mod tests;
