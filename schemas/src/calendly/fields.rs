//! The fields of a delivery that we read, as they stand in the body. Everything else stays in `payload` alone; so does
//! the legacy `canceled` flag, which `status` replaced.

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::value::RawValue;

use super::{Invitee, Payment, ScheduledEvent};
use crate::{
    json::{Fields, object, scalar, text},
    wire::micros,
};

type Text<'a> = Option<Cow<'a, str>>;

#[derive(Default)]
pub(super) struct Top<'a> {
    pub(super) event: Text<'a>,
    pub(super) created_at: Text<'a>,
    pub(super) payload: Option<&'a RawValue>,
}

impl<'a> Fields<'a> for Top<'a> {
    fn set(&mut self, name: &str, value: &'a RawValue) {
        match name {
            "event" => self.event = text(value),
            "created_at" => self.created_at = text(value),
            "payload" => self.payload = Some(value),
            _ => {}
        }
    }
}

#[derive(Default)]
pub(super) struct Payload<'a> {
    pub(super) uri: Text<'a>,
    pub(super) old_invitee: Text<'a>,
    pub(super) no_show: NoShow<'a>,
    pub(super) scheduled_event: Option<Meeting<'a>>,
    created_at: Text<'a>,
    updated_at: Text<'a>,
    email: Text<'a>,
    name: Text<'a>,
    first_name: Text<'a>,
    last_name: Text<'a>,
    status: Text<'a>,
    timezone: Text<'a>,
    rescheduled: Option<bool>,
    new_invitee: Text<'a>,
    event: Text<'a>,
    tracking: Tracking<'a>,
    payment: Option<Charge<'a>>,
    cancellation: Cancellation<'a>,
}

impl<'a> Fields<'a> for Payload<'a> {
    fn set(&mut self, name: &str, value: &'a RawValue) {
        match name {
            "uri" => self.uri = text(value),
            "old_invitee" => self.old_invitee = text(value),
            "no_show" => self.no_show = object(value).unwrap_or_default(),
            "scheduled_event" => self.scheduled_event = object(value),
            "created_at" => self.created_at = text(value),
            "updated_at" => self.updated_at = text(value),
            "email" => self.email = text(value),
            "name" => self.name = text(value),
            "first_name" => self.first_name = text(value),
            "last_name" => self.last_name = text(value),
            "status" => self.status = text(value),
            "timezone" => self.timezone = text(value),
            "rescheduled" => self.rescheduled = scalar(value),
            "new_invitee" => self.new_invitee = text(value),
            "event" => self.event = text(value),
            "tracking" => self.tracking = object(value).unwrap_or_default(),
            "payment" => self.payment = object(value),
            "cancellation" => self.cancellation = object(value).unwrap_or_default(),
            _ => {}
        }
    }
}

impl Payload<'_> {
    /// When the invitee (or whatever the payload describes) last changed or came to be.
    pub(super) fn changed_at(&self) -> Option<Timestamp> {
        time(&self.updated_at).or_else(|| time(&self.created_at))
    }

    /// `None` without a `uri`.
    pub(super) fn into_invitee(self) -> Option<Invitee> {
        Some(Invitee {
            created_at: time(&self.created_at),
            updated_at: time(&self.updated_at),
            reference: self.tracking.reference(),
            uri: self.uri?.into_owned(),
            email: owned(self.email),
            name: owned(self.name),
            first_name: owned(self.first_name),
            last_name: owned(self.last_name),
            status: owned(self.status),
            timezone: owned(self.timezone),
            rescheduled: self.rescheduled.unwrap_or_default(),
            old_invitee: owned(self.old_invitee),
            new_invitee: owned(self.new_invitee),
            event: owned(self.event),
            payment: self.payment.map(Charge::into_payment),
            canceled_by: owned(self.cancellation.canceled_by),
            canceler_type: owned(self.cancellation.canceler_type),
            cancel_reason: owned(self.cancellation.reason),
        })
    }
}

#[derive(Default)]
pub(super) struct NoShow<'a> {
    pub(super) uri: Text<'a>,
}

impl<'a> Fields<'a> for NoShow<'a> {
    fn set(&mut self, name: &str, value: &'a RawValue) {
        if name == "uri" {
            self.uri = text(value);
        }
    }
}

#[derive(Default)]
struct Tracking<'a> {
    utm_content: Text<'a>,
}

impl<'a> Fields<'a> for Tracking<'a> {
    fn set(&mut self, name: &str, value: &'a RawValue) {
        if name == "utm_content" {
            self.utm_content = text(value);
        }
    }
}

impl Tracking<'_> {
    fn reference(&self) -> Option<String> {
        let reference = self.utm_content.as_deref()?.strip_prefix("booking:")?;
        (!reference.is_empty()).then(|| reference.to_owned())
    }
}

#[derive(Default)]
struct Cancellation<'a> {
    canceled_by: Text<'a>,
    canceler_type: Text<'a>,
    reason: Text<'a>,
}

impl<'a> Fields<'a> for Cancellation<'a> {
    fn set(&mut self, name: &str, value: &'a RawValue) {
        match name {
            "canceled_by" => self.canceled_by = text(value),
            "canceler_type" => self.canceler_type = text(value),
            "reason" => self.reason = text(value),
            _ => {}
        }
    }
}

#[derive(Default)]
struct Charge<'a> {
    external_id: Text<'a>,
    provider: Text<'a>,
    amount: Option<f64>,
    currency: Text<'a>,
    successful: Option<bool>,
}

impl<'a> Fields<'a> for Charge<'a> {
    fn set(&mut self, name: &str, value: &'a RawValue) {
        match name {
            "external_id" => self.external_id = text(value),
            "provider" => self.provider = text(value),
            "amount" => self.amount = scalar(value),
            "currency" => self.currency = text(value),
            "successful" => self.successful = scalar(value),
            _ => {}
        }
    }
}

impl Charge<'_> {
    fn into_payment(self) -> Payment {
        Payment {
            external_id: owned(self.external_id),
            provider: owned(self.provider),
            amount: self.amount,
            currency: owned(self.currency),
            successful: self.successful,
        }
    }
}

#[derive(Default)]
pub(super) struct Meeting<'a> {
    uri: Text<'a>,
    name: Text<'a>,
    status: Text<'a>,
    event_type: Text<'a>,
    start_time: Text<'a>,
    end_time: Text<'a>,
    location: Location<'a>,
}

impl<'a> Fields<'a> for Meeting<'a> {
    fn set(&mut self, name: &str, value: &'a RawValue) {
        match name {
            "uri" => self.uri = text(value),
            "name" => self.name = text(value),
            "status" => self.status = text(value),
            "event_type" => self.event_type = text(value),
            "start_time" => self.start_time = text(value),
            "end_time" => self.end_time = text(value),
            "location" => self.location = object(value).unwrap_or_default(),
            _ => {}
        }
    }
}

impl Meeting<'_> {
    pub(super) fn into_scheduled_event(self) -> ScheduledEvent {
        ScheduledEvent {
            start_time: time(&self.start_time),
            end_time: time(&self.end_time),
            uri: owned(self.uri),
            name: owned(self.name),
            status: owned(self.status),
            event_type: owned(self.event_type),
            location_type: owned(self.location.kind),
        }
    }
}

#[derive(Default)]
struct Location<'a> {
    kind: Text<'a>,
}

impl<'a> Fields<'a> for Location<'a> {
    fn set(&mut self, name: &str, value: &'a RawValue) {
        if name == "type" {
            self.kind = text(value);
        }
    }
}

fn owned(text: Text<'_>) -> Option<String> {
    text.map(Cow::into_owned)
}

/// A time that does not parse is absent, as is one that is not there.
pub(super) fn time(text: &Text<'_>) -> Option<Timestamp> {
    text.as_deref()?.parse().ok().map(micros::truncate)
}
