//! One delivery: a JSON body in the shape of the recorded ones, adjustable where tests need it.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::invitee::Invitee;

/// A delivery under construction; [`Self::body`] gives the bytes to sign and send.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    json: Value,
}

/// Times as Calendly writes them, always with six digits.
pub(super) fn micros(at: Timestamp) -> String {
    format!("{at:.6}")
}

fn last_part(uri: &str) -> &str {
    uri.rsplit('/').next().unwrap_or(uri)
}

impl Delivery {
    pub(super) fn new(kind: &str, invitee: &Invitee, at: Timestamp) -> Self {
        let id = last_part(&invitee.uri);
        let status = if kind == "invitee.canceled" { "canceled" } else { "active" };
        let reference = invitee.reference.as_ref().map(|reference| format!("booking:{reference}"));
        let json = json!({
            "created_at": micros(at),
            "created_by": "https://api.calendly.com/users/00000000-0000-0000-0000-0000000000a1",
            "event": kind,
            "payload": {
                "cancel_url": format!("https://calendly.com/cancellations/{id}"),
                "created_at": micros(invitee.booked_at),
                "email": invitee.email,
                "event": invitee.event_uri,
                "first_name": null,
                "invitee_scheduled_by": null,
                "last_name": null,
                "name": invitee.name,
                "new_invitee": null,
                "no_show": null,
                "old_invitee": invitee.old_invitee,
                "payment": invitee.payment,
                "questions_and_answers": [],
                "reconfirmation": null,
                "reschedule_url": format!("https://calendly.com/reschedulings/{id}"),
                "rescheduled": false,
                "routing_form_submission": null,
                "scheduled_event": scheduled_event(invitee, status),
                "scheduling_method": null,
                "status": status,
                "text_reminder_number": null,
                "timezone": "Europe/Berlin",
                "tracking": {
                    "utm_campaign": null,
                    "utm_source": null,
                    "utm_medium": null,
                    "utm_content": reference,
                    "utm_term": null,
                    "salesforce_uuid": null,
                },
                "updated_at": micros(at),
                "uri": invitee.uri,
            },
        });
        Self { json }
    }

    /// Sets when it happened: `created_at` of the delivery and `updated_at` of the invitee.
    #[must_use]
    pub fn occurred(self, at: Timestamp) -> Self {
        let delivery = self.set("/created_at", micros(at)).set("/payload/updated_at", micros(at));
        if delivery.json.pointer("/payload/cancellation").is_some() {
            return delivery.set("/payload/cancellation/created_at", micros(at));
        }
        delivery
    }

    /// Sets who subscribed: two overlapping subscriptions differ only in this.
    #[must_use]
    pub fn created_by(self, user: &str) -> Self {
        self.set("/created_by", user)
    }

    /// Sets the event's name, such as one that the pipeline does not know.
    #[must_use]
    pub fn event(self, kind: &str) -> Self {
        self.set("/event", kind)
    }

    /// Adds who cancelled.
    #[must_use]
    pub fn cancellation(self, by: &str, canceler_type: &str, at: Timestamp) -> Self {
        self.set(
            "/payload/cancellation",
            json!({ "canceled_by": by, "reason": "", "canceler_type": canceler_type, "created_at": micros(at) }),
        )
    }

    /// Leaves out what deliveries before 2023 did not have.
    #[must_use]
    pub fn legacy(self) -> Self {
        ["/created_by", "/payload/scheduled_event", "/payload/cancellation", "/payload/payment"]
            .into_iter()
            .fold(self, Self::without)
    }

    /// Sets anything, by JSON pointer; a new last key is added.
    ///
    /// # Panics
    /// When the pointer's parent is not an object.
    #[must_use]
    pub fn set(mut self, pointer: &str, value: impl Into<Value>) -> Self {
        let (object, key) = self.parent(pointer);
        object.insert(key.to_owned(), value.into());
        self
    }

    /// Leaves out anything, by JSON pointer.
    ///
    /// # Panics
    /// When the pointer's parent is not an object.
    #[must_use]
    pub fn without(mut self, pointer: &str) -> Self {
        let (object, key) = self.parent(pointer);
        object.remove(key);
        self
    }

    fn parent<'a>(&mut self, pointer: &'a str) -> (&mut serde_json::Map<String, Value>, &'a str) {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        (self.json.pointer_mut(parent).and_then(Value::as_object_mut).unwrap(), key)
    }

    /// The delivery as JSON.
    pub fn json(&self) -> &Value {
        &self.json
    }

    /// The bytes to sign and send.
    pub fn body(&self) -> Vec<u8> {
        self.json.to_string().into_bytes()
    }

    /// Signs and delivers it now. Gives status and body of the answer.
    pub async fn post(&self, url: &str, key: &str) -> reqwest::Result<(u16, String)> {
        super::post(url, key, self.body()).await
    }
}

impl From<Delivery> for Vec<u8> {
    fn from(delivery: Delivery) -> Self {
        delivery.body()
    }
}

impl From<&Delivery> for Vec<u8> {
    fn from(delivery: &Delivery) -> Self {
        delivery.body()
    }
}

fn scheduled_event(invitee: &Invitee, status: &str) -> Value {
    json!({
        "created_at": micros(invitee.booked_at),
        "end_time": micros(invitee.end),
        "event_guests": [],
        "event_memberships": [{
            "user": "https://api.calendly.com/users/00000000-0000-0000-0000-0000000000a1",
            "user_email": "support@example.com",
            "user_name": "Acme",
        }],
        "event_type": invitee.event_type_uri,
        "invitees_counter": { "total": 1, "active": 1, "limit": 1 },
        "location": { "type": "custom", "location": "https://meet.example.com/room" },
        "meeting_notes_html": null,
        "meeting_notes_plain": null,
        "name": invitee.event_name,
        "start_time": micros(invitee.start),
        "status": status,
        "updated_at": micros(invitee.booked_at),
        "uri": invitee.event_uri,
    })
}
