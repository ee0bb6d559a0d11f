//! Lists what happened in a gap, as the deliveries that did not come.
//!
//! Calendly lists meetings by when they begin, and tells who booked them one meeting at a time. What has to be listed
//! follows from what can happen when (decision 38):
//! - a meeting is booked, moved and cancelled before it begins ("event information will not be changed once an event is
//!   in the past", Calendly's guide), so those that began before the gap are of no interest, but for no-shows;
//! - one that is booked in the gap may begin at any time after it, so the list has no end;
//! - a meeting for one invitee changes itself when it is booked or cancelled, so an unchanged one need not be asked about;
//!   of a group's meeting nobody says so, and all are asked about.

use std::vec::IntoIter;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::client::{Calendly, EventFilter};
use crate::error::CalendlyError;
use crate::missed::{Gap, Missed, changed_at, missed};
use crate::objects::{Invitee, ScheduledEvent};
use crate::pages::Pages;
use crate::subject::{Scope, Subject};

/// No-shows are looked for at meetings that began so long before the gap: over a weekend. Each costs a request.
const NO_SHOWS: SignedDuration = SignedDuration::from_hours(72);

/// How much of it is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// Meetings that were listed.
    pub meetings: u64,
    /// Those whose invitees were asked for.
    pub asked: u64,
    /// Those whose invitees Calendly would not tell.
    pub refused: u64,
}

/// What happened in a gap. Holds one page of meetings and one of invitees.
pub struct Backfill {
    client: Calendly,
    gap: Gap,
    pages: Pages<ScheduledEvent>,
    /// What to ask instead, when the first page is refused to somebody who is no administrator.
    alone: Option<Pages<ScheduledEvent>>,
    meetings: IntoIter<ScheduledEvent>,
    current: Option<(ScheduledEvent, Pages<Invitee>)>,
    looked: Looked,
}

impl Backfill {
    /// Of what is a subject's. Nothing is asked before [`Self::next`].
    pub fn new(client: &Calendly, subject: &Subject, gap: Gap) -> Self {
        let from = gap.since.checked_sub(NO_SHOWS).unwrap_or(Timestamp::MIN);
        let pages = |alone| client.scheduled_events(&EventFilter { subject, from: Some(from), until: None, alone });
        let alone = (subject.scope() != Scope::Organization).then(|| pages(true));
        let (client, pages, meetings) = (client.clone(), pages(false), Vec::new().into_iter());
        Self { client, gap, pages, alone, meetings, current: None, looked: Looked::default() }
    }

    /// How much is done.
    pub fn looked(&self) -> Looked {
        self.looked
    }

    /// The next deliveries, perhaps none; `None` at the end. After an error, the same is asked again.
    pub async fn next(&mut self) -> Result<Option<Vec<Missed>>, CalendlyError> {
        loop {
            if let Some((event, invitees)) = &mut self.current {
                match invitees.next().await {
                    Ok(Some(page)) => {
                        let of = |invitee: &Invitee| missed(event, invitee, &self.gap);
                        return Ok(Some(page.iter().flat_map(of).collect()));
                    }
                    // Data that somebody had deleted since it was listed.
                    Ok(None) | Err(CalendlyError::NotFound { .. }) => self.current = None,
                    // One meeting must not keep all others back; asked again it would say the same.
                    Err(error @ (CalendlyError::Forbidden { .. } | CalendlyError::Refused { .. })) => {
                        tracing::warn!(meeting = event.uri, %error, "what happened to a meeting cannot be fetched");
                        self.looked.refused += 1;
                        self.current = None;
                    }
                    Err(error) => return Err(error),
                }
            } else if let Some(event) = self.meetings.next() {
                self.looked.meetings += 1;
                if may_have_changed(&event, &self.gap) {
                    self.looked.asked += 1;
                    let invitees = self.client.invitees(&event);
                    self.current = Some((event, invitees));
                }
            } else {
                match (self.pages.next().await, self.alone.take()) {
                    (Ok(Some(page)), _) => self.meetings = page.into_iter(),
                    (Ok(None), _) => return Ok(None),
                    (Err(CalendlyError::Forbidden { .. }), Some(alone)) => self.pages = alone,
                    (Err(error), alone) => {
                        self.alone = alone;
                        return Err(error);
                    }
                }
            }
        }
    }
}

/// Whether something may have happened in the gap, or since, to one of its invitees.
fn may_have_changed(event: &ScheduledEvent, gap: &Gap) -> bool {
    let text = |name: &str| event.fields.get(name).and_then(Value::as_str);
    let limit = event.fields.get("invitees_counter").and_then(|counter| counter.get("limit"));
    let changed = changed_at(event).is_none_or(|at| at >= gap.since);
    let begins = text("start_time").and_then(|text| text.parse::<Timestamp>().ok());
    // It is marked at the invitee, and only when the meeting has begun.
    let may_have_no_shows = text("status") != Some("canceled") && begins.is_none_or(|begins| begins < gap.until);
    changed || limit.and_then(Value::as_u64) != Some(1) || may_have_no_shows
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_meeting_of_one_that_has_not_changed_is_not_asked_about() {
        let gap =
            Gap { since: "2026-03-02T00:00:00Z".parse().unwrap(), until: "2026-03-03T00:00:00Z".parse().unwrap() };
        let (before, within) = ("2026-03-01T23:00:00Z", "2026-03-02T00:00:00Z");
        let asked = |mut change: Value| {
            let mut event = json!({
                "uri": "u", "status": "active", "start_time": "2026-04-01T00:00:00Z", "created_at": before,
                "updated_at": before, "invitees_counter": { "total": 1, "active": 1, "limit": 1 },
            });
            event.as_object_mut().unwrap().append(change.as_object_mut().unwrap());
            may_have_changed(&serde_json::from_value(event).unwrap(), &gap)
        };
        assert!(!asked(json!({})));
        assert!(!asked(json!({ "status": "canceled", "cancellation": { "created_at": before } })));
        for change in [
            json!({ "created_at": within, "updated_at": within }),
            json!({ "updated_at": within }),
            json!({ "updated_at": "2026-05-01T00:00:00Z" }),
            json!({ "updated_at": null }),
            json!({ "status": "canceled", "cancellation": { "created_at": within } }),
            json!({ "invitees_counter": { "total": 1, "active": 1, "limit": 2 } }),
            json!({ "invitees_counter": null }),
            json!({ "start_time": "2026-03-02T10:00:00Z" }),
            json!({ "start_time": "soon" }),
        ] {
            assert!(asked(change.clone()), "{change}");
        }
        assert!(!asked(json!({ "start_time": "2026-03-02T10:00:00Z", "status": "canceled" })));
    }
}
