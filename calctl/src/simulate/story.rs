//! What sample customers do, as Calendly's deliveries. Nobody in them exists: the addresses are of example.com.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

const API: &str = "https://api.calendly.com";
/// One event type for all, so that one price is for all.
const EVENT_TYPE: &str = "https://api.calendly.com/event_types/00000000-0000-0000-0000-00005a3b1e00";

/// One delivery.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) event: &'static str,
    pub(super) invitee: String,
    pub(super) body: String,
}

/// A customer with one meeting, which may move.
struct Customer {
    name: String,
    email: String,
    starts: Timestamp,
    event: String,
    uri: String,
    old: Option<String>,
}

impl Customer {
    fn new(number: usize, now: Timestamp) -> Self {
        let (event, uri) = uris();
        let name = format!("Sample Customer {number}");
        let email = format!("sample-{}@example.com", Uuid::new_v4().simple());
        Self { name, email, starts: now + SignedDuration::from_hours(48), event, uri, old: None }
    }

    /// The same customer, a day later: Calendly makes another invitee of another event.
    fn moved(&self) -> Self {
        let (event, uri) = uris();
        let starts = self.starts + SignedDuration::from_hours(24);
        let (name, email) = (self.name.clone(), self.email.clone());
        Self { name, email, starts, event, uri, old: Some(self.uri.clone()) }
    }

    fn sample(&self, event: &'static str, at: Timestamp, more: &Value) -> Sample {
        let status = if event == "invitee.canceled" { "canceled" } else { "active" };
        let mut payload = json!({
            "uri": self.uri, "email": self.email, "name": self.name, "status": status, "timezone": "Europe/Berlin",
            "event": self.event, "created_at": micros(at), "updated_at": micros(at), "rescheduled": false,
            "old_invitee": self.old, "new_invitee": null, "payment": null, "questions_and_answers": [],
            "tracking": { "utm_source": "calctl simulate" },
            "scheduled_event": {
                "uri": self.event, "name": "Sample meeting", "status": status, "event_type": EVENT_TYPE,
                "start_time": micros(self.starts), "end_time": micros(self.starts + SignedDuration::from_mins(30)),
            },
        });
        if let (Some(payload), Some(more)) = (payload.as_object_mut(), more.as_object()) {
            payload.extend(more.clone());
        }
        let delivery = json!({ "event": event, "created_at": micros(at), "payload": payload });
        Sample { event, invitee: self.uri.clone(), body: delivery.to_string() }
    }

    fn created(&self, at: Timestamp) -> Sample {
        self.sample("invitee.created", at, &Value::Null)
    }

    fn canceled(&self, at: Timestamp) -> Sample {
        let cancellation = json!({ "canceled_by": self.name, "canceler_type": "invitee", "reason": "sample" });
        self.sample("invitee.canceled", at, &json!({ "cancellation": cancellation }))
    }

    /// The half of a reschedule that ends this invitee.
    fn left(&self, to: &Self, at: Timestamp) -> Sample {
        self.sample("invitee.canceled", at, &json!({ "rescheduled": true, "new_invitee": to.uri }))
    }
}

/// What the customer of this number does: books; books and cancels; books and moves; or books, and Calendly tells
/// twice.
pub(super) fn story(number: usize, now: Timestamp) -> Vec<Sample> {
    let customer = Customer::new(number, now);
    let booked = now - SignedDuration::from_mins(10);
    let created = customer.created(booked);
    match number % 4 {
        0 => vec![created],
        1 => vec![created, customer.canceled(now)],
        2 => {
            let later = customer.moved();
            // Calendly does not say which half comes first.
            vec![created, later.created(now), customer.left(&later, now)]
        }
        _ => vec![created.clone(), created],
    }
}

fn uris() -> (String, String) {
    let event = format!("{API}/scheduled_events/{}", Uuid::new_v4());
    let invitee = format!("{event}/invitees/{}", Uuid::new_v4());
    (event, invitee)
}

/// Times as Calendly writes them.
fn micros(at: Timestamp) -> String {
    format!("{at:.6}")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use schemas::calendly::Delivery;

    use super::*;

    #[test]
    fn all_samples_are_events_and_a_pair_meets_in_one_partition() {
        let now = Timestamp::now();
        let stories: Vec<Vec<Sample>> = (0..4).map(|number| story(number, now)).collect();
        let ids = |story: &[Sample]| -> HashSet<Uuid> {
            story.iter().map(|sample| Delivery::parse(sample.body.as_bytes()).unwrap().event_id()).collect()
        };
        let counts: Vec<_> = stories.iter().map(|story| (story.len(), ids(story).len())).collect();
        assert_eq!(counts, [(1, 1), (2, 2), (3, 3), (2, 1)], "deliveries and happenings");
        let keys: HashSet<String> =
            stories[2].iter().map(|sample| Delivery::parse(sample.body.as_bytes()).unwrap().partition_key()).collect();
        assert_eq!(keys.len(), 1);
    }
}
