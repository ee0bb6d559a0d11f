//! Facts: the single things known to have happened to a booking. They are only ever added.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::price::Price;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fact {
    /// The same for every report of the same happening.
    pub id: Uuid,
    /// Calendly's, Stripe's or our own name for it, for people who read the history.
    pub event_type: String,
    /// When it happened, by the clock of whoever reported it.
    pub occurred_at: Timestamp,
    /// What happened.
    pub kind: FactKind,
}

/// What Calendly says about an invitee, as far as a booking needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Details {
    /// The invitee.
    pub invitee_uri: String,
    /// The invitee that this one replaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_invitee: Option<String>,
    /// The invitee that replaces this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_invitee: Option<String>,
    /// The scheduled event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_uri: Option<String>,
    /// The event type, which has the price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_type_uri: Option<String>,
    /// What is booked, as shown to the customer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_name: Option<String>,
    /// The customer's e-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The customer's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Begin of the appointment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Timestamp>,
    /// End of the appointment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Timestamp>,
    /// The caller's own booking id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Calendly itself took the payment.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub paid_at_calendly: bool,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FactKind {
    /// An invitee was created, with `old_invitee` by a reschedule.
    Booked(Details),
    /// An invitee was cancelled for good.
    Canceled(Details),
    /// An invitee was given up because a reschedule replaced it.
    Left(Details),
    /// A no-show was marked or unmarked.
    NoShow {
        /// Who it is about.
        details: Details,
        /// Marked, not unmarked.
        marked: bool,
    },
    /// The price of an event type, as it was when this booking first needed it.
    Priced {
        /// The event type; empty when Calendly did not say.
        event_type_uri: String,
        /// Its price.
        price: Price,
    },
    /// An operator asked for a new Checkout session.
    CheckoutRequested,
    /// A Checkout session was opened.
    SessionOpened(SessionOpened),
    /// A Checkout session was paid.
    SessionPaid {
        /// The session.
        session_id: String,
        /// The payment.
        payment_intent: String,
        /// Minor units.
        amount: i64,
        /// Currency.
        currency: String,
    },
    /// The customer completed a session, and the money is on its way.
    SessionProcessing {
        /// The session.
        session_id: String,
    },
    /// The money that was on its way did not come.
    SessionFailed {
        /// The session.
        session_id: String,
    },
    /// A session ended unpaid.
    SessionExpired {
        /// The session.
        session_id: String,
    },
    /// What Stripe says of a refund.
    Refund {
        /// The refund.
        refund_id: String,
        /// The payment that it returns.
        payment_intent: String,
        /// Minor units.
        amount: i64,
        /// How far it is.
        status: RefundStatus,
    },
    /// What Stripe says of a payment's refunds in total.
    ChargeRefunded {
        /// The payment.
        payment_intent: String,
        /// Minor units returned so far.
        amount_refunded: i64,
    },
}

/// A Checkout session that was opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionOpened {
    /// Stripe's id.
    pub session_id: String,
    /// Where the customer pays.
    pub url: Option<String>,
    /// Minor units.
    pub amount: i64,
    /// Currency.
    pub currency: String,
    /// The event type whose price it asks for; empty when Calendly did not say.
    pub priced_for: String,
    /// The purpose that it was opened for, see [`crate::fold::Booking::slot`].
    pub slot: String,
}

/// How far a refund is. The order is the order in which they follow each other: a refund reported done can still fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefundStatus {
    /// Under way; also Stripe's `requires_action`.
    Pending,
    /// The customer has the money.
    Succeeded,
    /// The money came back to us; also Stripe's `canceled`.
    Failed,
}

impl Details {
    /// Drops who it is about, and what is booked if that names them. Tells whether there was anything to drop.
    fn forget_person(&mut self) -> bool {
        let person = [self.name.take(), self.email.take()];
        let names: Vec<String> = person.into_iter().flatten().map(|text| text.trim().to_lowercase()).collect();
        let told = |event: &String| names.iter().any(|name| !name.is_empty() && event.to_lowercase().contains(name));
        if self.event_name.as_ref().is_some_and(told) {
            self.event_name = None;
        }
        !names.is_empty()
    }
}

impl FactKind {
    /// Drops who it is about. Tells whether there was anything to drop.
    pub fn forget_person(&mut self) -> bool {
        match self {
            Self::Booked(details) | Self::Canceled(details) | Self::Left(details) | Self::NoShow { details, .. } => {
                details.forget_person()
            }
            Self::Priced { .. }
            | Self::CheckoutRequested
            | Self::SessionOpened(_)
            | Self::SessionPaid { .. }
            | Self::SessionProcessing { .. }
            | Self::SessionFailed { .. }
            | Self::SessionExpired { .. }
            | Self::Refund { .. }
            | Self::ChargeRefunded { .. } => false,
        }
    }

    /// What Calendly said about an invitee, when this came from Calendly.
    pub fn details(&self) -> Option<&Details> {
        match self {
            Self::Booked(details) | Self::Canceled(details) | Self::Left(details) | Self::NoShow { details, .. } => {
                Some(details)
            }
            Self::Priced { .. }
            | Self::CheckoutRequested
            | Self::SessionOpened(_)
            | Self::SessionPaid { .. }
            | Self::SessionProcessing { .. }
            | Self::SessionFailed { .. }
            | Self::SessionExpired { .. }
            | Self::Refund { .. }
            | Self::ChargeRefunded { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forgotten_person_leaves_the_appointment() {
        let of = |event_name: &str| {
            let name = Some("Ada Lovelace".to_owned());
            let (uri, event_name) = ("https://api.calendly.com/invitees/A".to_owned(), Some(event_name.to_owned()));
            let email = Some("ada@example.com".to_owned());
            Details { invitee_uri: uri, event_name, email, name, ..Details::default() }
        };
        for (event_name, left) in
            [("Intro call", Some("Intro call")), ("Intro: ADA LOVELACE", None), ("ada@example.com", None)]
        {
            let mut kind = FactKind::NoShow { details: of(event_name), marked: true };
            assert!(kind.forget_person());
            let details = kind.details().unwrap();
            assert_eq!((&details.name, &details.email, details.event_name.as_deref()), (&None, &None, left));
            assert!(!details.invitee_uri.is_empty());
            assert!(!kind.forget_person(), "there is nothing left to drop");
        }
        assert!(!FactKind::CheckoutRequested.forget_person());
    }
}
