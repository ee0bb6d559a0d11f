//! People who book.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

use super::delivery::Delivery;

/// One invitee of one scheduled event. All URIs follow from the seed, so a seed is one person's one booking.
#[derive(Clone, Debug, PartialEq)]
pub struct Invitee {
    seed: u64,
    moves: u32,
    /// `https://api.calendly.com/scheduled_events/…/invitees/…`
    pub uri: String,
    /// `https://api.calendly.com/scheduled_events/…`
    pub event_uri: String,
    /// `https://api.calendly.com/event_types/…`
    pub event_type_uri: String,
    /// The event type's name.
    pub event_name: String,
    /// Their e-mail address.
    pub email: String,
    /// Their name.
    pub name: String,
    /// When the meeting starts.
    pub start: Timestamp,
    /// When the meeting ends.
    pub end: Timestamp,
    /// When they booked; `occurred_at` of `invitee.created`.
    pub booked_at: Timestamp,
    /// The caller's own booking id, in `tracking.utm_content`.
    pub reference: Option<String>,
    /// The invitee that this one replaced.
    pub old_invitee: Option<String>,
    /// Calendly's own payment.
    pub payment: Option<Value>,
}

fn id(kind: &str, seed: u64, number: u32) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("{kind}/{seed}/{number}").as_bytes())
}

fn event_uri(seed: u64, number: u32) -> String {
    format!("https://api.calendly.com/scheduled_events/{}", id("event", seed, number))
}

impl Invitee {
    /// Someone who booked a minute ago for tomorrow.
    pub fn new(seed: u64) -> Self {
        let booked_at = Timestamp::now() - SignedDuration::from_mins(1);
        let start = Timestamp::from_second(booked_at.as_second() + 24 * 60 * 60).unwrap();
        let event_uri = event_uri(seed, 0);
        Self {
            seed,
            moves: 0,
            uri: format!("{event_uri}/invitees/{}", id("invitee", seed, 0)),
            event_uri,
            event_type_uri: "https://api.calendly.com/event_types/00000000-0000-0000-0000-0000000000e1".to_owned(),
            event_name: "30 Minute Meeting".to_owned(),
            email: format!("invitee-{seed}@example.com"),
            name: format!("Invitee {seed}"),
            start,
            end: start + SignedDuration::from_mins(30),
            booked_at,
            reference: None,
            old_invitee: None,
            payment: None,
        }
    }

    /// Someone nobody else is.
    pub fn random() -> Self {
        Self::new(rand::random())
    }

    /// Sets the event type.
    #[must_use]
    pub fn event_type(mut self, uri: &str) -> Self {
        uri.clone_into(&mut self.event_type_uri);
        self
    }

    /// Sets the e-mail address.
    #[must_use]
    pub fn email(mut self, email: &str) -> Self {
        email.clone_into(&mut self.email);
        self
    }

    /// Sets when they booked.
    #[must_use]
    pub fn booked_at(mut self, at: Timestamp) -> Self {
        self.booked_at = at;
        self
    }

    /// Sets the caller's own booking id: `tracking.utm_content` becomes `booking:<reference>`.
    #[must_use]
    pub fn reference(mut self, reference: &str) -> Self {
        self.reference = Some(reference.to_owned());
        self
    }

    /// Calendly itself took (or failed to take) a payment, in major units.
    #[must_use]
    pub fn payment(mut self, amount: f64, currency: &str, successful: bool) -> Self {
        self.payment = Some(json!({
            "external_id": format!("ch_calendly_{}", self.seed),
            "provider": "stripe",
            "amount": amount,
            "currency": currency,
            "terms": null,
            "successful": successful,
        }));
        self
    }

    /// Another invitee of the same group event.
    #[must_use]
    pub fn in_same_event(&self, seed: u64) -> Self {
        let uri = format!("{}/invitees/{}", self.event_uri, id("invitee", seed, 0));
        let (start, end) = (self.start, self.end);
        Self { uri, event_uri: self.event_uri.clone(), start, end, ..Self::new(seed) }.event_type(&self.event_type_uri)
    }

    /// The invitee that a reschedule to the next day makes: other invitee and event URIs, same person.
    #[must_use]
    pub fn moved(&self) -> Self {
        let moves = self.moves + 1;
        let event_uri = event_uri(self.seed, moves);
        let a_day = SignedDuration::from_hours(24);
        Self {
            moves,
            uri: format!("{event_uri}/invitees/{}", id("invitee", self.seed, moves)),
            event_uri,
            start: self.start + a_day,
            end: self.end + a_day,
            booked_at: Timestamp::now(),
            old_invitee: Some(self.uri.clone()),
            ..self.clone()
        }
    }

    /// `invitee.created`, at the time of booking.
    pub fn created(&self) -> Delivery {
        Delivery::new("invitee.created", self, self.booked_at)
    }

    /// `invitee.canceled` for good, now.
    pub fn canceled(&self) -> Delivery {
        let at = Timestamp::now();
        Delivery::new("invitee.canceled", self, at).cancellation(&self.name, "invitee", at)
    }

    /// `invitee.rescheduled`, the single-event form: this is the new invitee, see [`Self::moved`].
    pub fn rescheduled_event(&self) -> Delivery {
        Delivery::new("invitee.rescheduled", self, self.booked_at)
    }

    /// Calendly's real form of a reschedule from this invitee to the one that [`Self::moved`] gave, at one time:
    /// `invitee.canceled` of this one and `invitee.created` of the other.
    pub fn reschedule_pair(&self, to: &Self) -> (Delivery, Delivery) {
        let at = to.booked_at;
        let canceled = Delivery::new("invitee.canceled", self, at)
            .cancellation(&self.name, "invitee", at)
            .set("/payload/rescheduled", true)
            .set("/payload/new_invitee", to.uri.clone());
        (canceled, to.created())
    }

    /// `invitee_no_show.created` (or `deleted`), now.
    pub fn no_show(&self, created: bool) -> Delivery {
        let at = Timestamp::now();
        let kind = if created { "invitee_no_show.created" } else { "invitee_no_show.deleted" };
        let uri = format!("https://api.calendly.com/invitee_no_shows/{}", id("no_show", self.seed, self.moves));
        Delivery::new(kind, self, at)
            .set("/payload/no_show", json!({ "uri": uri, "created_at": super::delivery::micros(at) }))
    }
}
