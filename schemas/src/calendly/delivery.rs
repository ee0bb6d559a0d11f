//! An authentic body, read as far as we need it.

use std::borrow::Cow;

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    CalendlyEvent,
    fields::{Payload, Top, time},
};
use crate::{error::InvalidPayload, identity, json, wire::micros};

/// A delivery that is an event. It borrows from the body.
pub struct Delivery<'a> {
    body: &'a str,
    event_type: Cow<'a, str>,
    event_id: Uuid,
    created_at: Option<Timestamp>,
    payload: Payload<'a>,
}

impl<'a> Delivery<'a> {
    /// Reads a body: a JSON object with string `event`, object `payload` and, for `invitee.*`, string `payload.uri`.
    /// Whatever else is missing or of an unexpected type counts as absent.
    pub fn parse(body: &'a [u8]) -> Result<Self, InvalidPayload> {
        let body = str::from_utf8(body).map_err(|_| InvalidPayload::NotUtf8)?;
        let top: Top<'_> = json::document(body)?;
        let event_type = top.event.ok_or(InvalidPayload::not_a_string("event"))?;
        let payload = top.payload.ok_or(InvalidPayload::not_an_object("payload"))?;
        if payload.uri.is_none() && event_type.starts_with("invitee.") {
            return Err(InvalidPayload::not_a_string("payload.uri"));
        }
        let event_id = if let Some(uri) = happens_once(&event_type, &payload) {
            identity::of_parts(&[&event_type, uri])
        } else {
            let content = json::part(body, "payload").ok_or(InvalidPayload::not_an_object("payload"))?;
            identity::of_content(&event_type, top.created_at.as_deref().unwrap_or_default(), content)
        };
        Ok(Self { body, event_id, created_at: time(&top.created_at), payload, event_type })
    }

    /// Calendly's `event`.
    pub fn event_type(&self) -> &str {
        &self.event_type
    }

    /// The same for every delivery of the same happening.
    pub fn event_id(&self) -> Uuid {
        self.event_id
    }

    /// What has to stay in order stays in one partition: both halves of a reschedule go by the old invitee.
    pub fn partition_key(&self) -> String {
        let replaces = matches!(&*self.event_type, "invitee.created" | "invitee.rescheduled");
        let old = self.payload.old_invitee.as_deref().filter(|_| replaces);
        let own = self.payload.uri.as_deref();
        let key = [old, own].into_iter().flatten().find(|uri| !uri.is_empty());
        key.map_or_else(|| self.event_id.to_string(), str::to_owned)
    }

    /// The event to publish.
    pub fn into_event(self, received_at: Timestamp) -> CalendlyEvent {
        self.into_event_of(received_at)
    }

    /// The same, with its texts held as the caller wants: `Cow` copies none of them.
    pub(crate) fn into_event_of<S: From<Cow<'a, str>>>(self, received_at: Timestamp) -> CalendlyEvent<S> {
        let Self { body, event_type, event_id, created_at, mut payload } = self;
        let received_at = micros::truncate(received_at);
        let occurred_at = created_at.or_else(|| payload.changed_at()).unwrap_or(received_at);
        let scheduled_event = payload.scheduled_event.take();
        let about_invitee = event_type.starts_with("invitee.") || event_type.starts_with("invitee_no_show.");
        CalendlyEvent {
            event_id,
            event_type: event_type.into(),
            occurred_at,
            received_at,
            invitee: if about_invitee { payload.into_invitee() } else { None },
            scheduled_event: scheduled_event.map(super::fields::Meeting::into_scheduled_event),
            payload: Cow::Borrowed(body).into(),
        }
    }
}

/// What can happen only once to whom: an invitee is created, cancelled and moved once, and a no-show is marked once,
/// whatever else the delivery says. Any other happening is told by its time and content.
fn happens_once<'p>(event_type: &str, payload: &'p Payload<'_>) -> Option<&'p str> {
    let about = match event_type {
        "invitee.created" | "invitee.canceled" | "invitee.rescheduled" => payload.uri.as_deref(),
        _ if event_type.starts_with("invitee_no_show.") => payload.no_show.uri.as_deref(),
        _ => None,
    };
    about.filter(|uri| !uri.is_empty())
}
