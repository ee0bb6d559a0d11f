//! The fields of a delivery that we read, as they stand in the body. Everything else stays in `payload` alone; so does
//! the legacy `canceled` flag, which `status` replaced.

use std::borrow::Cow;

use jiff::Timestamp;

use super::{Invitee, Payment, ScheduledEvent};
use crate::{
    json::{Fields, Text, Value},
    wire::micros,
};

/// What stands before the caller's own booking id.
const REFERENCE: &str = "booking:";

#[derive(Default)]
pub(super) struct Top<'a> {
    pub(super) event: Text<'a>,
    pub(super) created_at: Text<'a>,
    pub(super) payload: Option<Payload<'a>>,
}

impl<'a> Fields<'a> for Top<'a> {
    fn set<V: Value<'a>>(&mut self, name: &str, value: V) -> Result<(), V::Error> {
        match name {
            "event" => self.event = value.text()?,
            "created_at" => self.created_at = value.text()?,
            "payload" => self.payload = value.object()?,
            _ => value.skip()?,
        }
        Ok(())
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
    fn set<V: Value<'a>>(&mut self, name: &str, value: V) -> Result<(), V::Error> {
        match name {
            "uri" => self.uri = value.text()?,
            "old_invitee" => self.old_invitee = value.text()?,
            "no_show" => self.no_show = value.object()?.unwrap_or_default(),
            "scheduled_event" => self.scheduled_event = value.object()?,
            "created_at" => self.created_at = value.text()?,
            "updated_at" => self.updated_at = value.text()?,
            "email" => self.email = value.text()?,
            "name" => self.name = value.text()?,
            "first_name" => self.first_name = value.text()?,
            "last_name" => self.last_name = value.text()?,
            "status" => self.status = value.text()?,
            "timezone" => self.timezone = value.text()?,
            "rescheduled" => self.rescheduled = value.scalar()?,
            "new_invitee" => self.new_invitee = value.text()?,
            "event" => self.event = value.text()?,
            "tracking" => self.tracking = value.object()?.unwrap_or_default(),
            "payment" => self.payment = value.object()?,
            "cancellation" => self.cancellation = value.object()?.unwrap_or_default(),
            _ => value.skip()?,
        }
        Ok(())
    }
}

impl<'a> Payload<'a> {
    /// When the invitee (or whatever the payload describes) last changed or came to be.
    pub(super) fn changed_at(&self) -> Option<Timestamp> {
        time(&self.updated_at).or_else(|| time(&self.created_at))
    }

    /// `None` without a `uri`.
    pub(super) fn into_invitee<S: From<Cow<'a, str>>>(self) -> Option<Invitee<S>> {
        Some(Invitee {
            created_at: time(&self.created_at),
            updated_at: time(&self.updated_at),
            reference: self.tracking.reference(),
            uri: self.uri?.into(),
            email: held(self.email),
            name: held(self.name),
            first_name: held(self.first_name),
            last_name: held(self.last_name),
            status: held(self.status),
            timezone: held(self.timezone),
            rescheduled: self.rescheduled.unwrap_or_default(),
            old_invitee: held(self.old_invitee),
            new_invitee: held(self.new_invitee),
            event: held(self.event),
            payment: self.payment.map(Charge::into_payment),
            canceled_by: held(self.cancellation.canceled_by),
            canceler_type: held(self.cancellation.canceler_type),
            cancel_reason: held(self.cancellation.reason),
        })
    }
}

#[derive(Default)]
pub(super) struct NoShow<'a> {
    pub(super) uri: Text<'a>,
}

impl<'a> Fields<'a> for NoShow<'a> {
    fn set<V: Value<'a>>(&mut self, name: &str, value: V) -> Result<(), V::Error> {
        match name {
            "uri" => self.uri = value.text()?,
            _ => value.skip()?,
        }
        Ok(())
    }
}

#[derive(Default)]
struct Tracking<'a> {
    utm_content: Text<'a>,
}

impl<'a> Fields<'a> for Tracking<'a> {
    fn set<V: Value<'a>>(&mut self, name: &str, value: V) -> Result<(), V::Error> {
        match name {
            "utm_content" => self.utm_content = value.text()?,
            _ => value.skip()?,
        }
        Ok(())
    }
}

impl<'a> Tracking<'a> {
    fn reference<S: From<Cow<'a, str>>>(self) -> Option<S> {
        let reference = match self.utm_content? {
            Cow::Borrowed(text) => Cow::Borrowed(text.strip_prefix(REFERENCE)?),
            Cow::Owned(text) => Cow::Owned(text.strip_prefix(REFERENCE)?.to_owned()),
        };
        (!reference.is_empty()).then(|| reference.into())
    }
}

#[derive(Default)]
struct Cancellation<'a> {
    canceled_by: Text<'a>,
    canceler_type: Text<'a>,
    reason: Text<'a>,
}

impl<'a> Fields<'a> for Cancellation<'a> {
    fn set<V: Value<'a>>(&mut self, name: &str, value: V) -> Result<(), V::Error> {
        match name {
            "canceled_by" => self.canceled_by = value.text()?,
            "canceler_type" => self.canceler_type = value.text()?,
            "reason" => self.reason = value.text()?,
            _ => value.skip()?,
        }
        Ok(())
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
    fn set<V: Value<'a>>(&mut self, name: &str, value: V) -> Result<(), V::Error> {
        match name {
            "external_id" => self.external_id = value.text()?,
            "provider" => self.provider = value.text()?,
            "amount" => self.amount = value.scalar()?,
            "currency" => self.currency = value.text()?,
            "successful" => self.successful = value.scalar()?,
            _ => value.skip()?,
        }
        Ok(())
    }
}

impl<'a> Charge<'a> {
    fn into_payment<S: From<Cow<'a, str>>>(self) -> Payment<S> {
        Payment {
            external_id: held(self.external_id),
            provider: held(self.provider),
            amount: self.amount,
            currency: held(self.currency),
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
    fn set<V: Value<'a>>(&mut self, name: &str, value: V) -> Result<(), V::Error> {
        match name {
            "uri" => self.uri = value.text()?,
            "name" => self.name = value.text()?,
            "status" => self.status = value.text()?,
            "event_type" => self.event_type = value.text()?,
            "start_time" => self.start_time = value.text()?,
            "end_time" => self.end_time = value.text()?,
            "location" => self.location = value.object()?.unwrap_or_default(),
            _ => value.skip()?,
        }
        Ok(())
    }
}

impl<'a> Meeting<'a> {
    pub(super) fn into_scheduled_event<S: From<Cow<'a, str>>>(self) -> ScheduledEvent<S> {
        ScheduledEvent {
            start_time: time(&self.start_time),
            end_time: time(&self.end_time),
            uri: held(self.uri),
            name: held(self.name),
            status: held(self.status),
            event_type: held(self.event_type),
            location_type: held(self.location.kind),
        }
    }
}

#[derive(Default)]
struct Location<'a> {
    kind: Text<'a>,
}

impl<'a> Fields<'a> for Location<'a> {
    fn set<V: Value<'a>>(&mut self, name: &str, value: V) -> Result<(), V::Error> {
        match name {
            "type" => self.kind = value.text()?,
            _ => value.skip()?,
        }
        Ok(())
    }
}

fn held<'a, S: From<Cow<'a, str>>>(text: Text<'a>) -> Option<S> {
    text.map(S::from)
}

/// A time that does not parse is absent, as is one that is not there.
pub(super) fn time(text: &Text<'_>) -> Option<Timestamp> {
    text.as_deref()?.parse().ok().map(micros::truncate)
}
