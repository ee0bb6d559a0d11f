//! The state of a booking, as the topic of changes has it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::wire::{micros, micros_option, uuid_text};

/// A booking after a change. The fields are those of `avro/booking_state.avsc`, in its order: the encoder writes them as
/// they come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BookingState {
    /// The booking; also the record's key.
    #[serde(with = "uuid_text")]
    pub booking_id: Uuid,
    /// The caller's own id of it.
    pub reference: Option<String>,
    /// `PENDING_PAYMENT`, `CONFIRMED`, `CANCELED`.
    pub status: String,
    /// `NOT_REQUIRED`, `UNPAID`, `PAID`, `REFUND_PENDING`, `REFUNDED`, `REFUND_FAILED`.
    pub payment_status: String,
    /// The price in minor units; `None` when it is free or not known yet.
    pub amount_minor: Option<i64>,
    /// Three small letters.
    pub currency: Option<String>,
    /// The current invitee.
    pub invitee_uri: Option<String>,
    /// Their address.
    pub invitee_email: Option<String>,
    /// Their name.
    pub invitee_name: Option<String>,
    /// The scheduled event.
    pub event_uri: Option<String>,
    /// The event type, which has the price.
    pub event_type_uri: Option<String>,
    /// What is booked, as shown to the customer.
    pub event_name: Option<String>,
    /// Begin of the appointment.
    #[serde(with = "micros_option")]
    pub start_time: Option<Timestamp>,
    /// End of the appointment.
    #[serde(with = "micros_option")]
    pub end_time: Option<Timestamp>,
    /// The invitee did not come.
    pub no_show: bool,
    /// Stripe's session that is open, else the one that was paid.
    pub checkout_session_id: Option<String>,
    /// Where it can be paid, while it can.
    pub checkout_url: Option<String>,
    /// Stripe's payment.
    pub payment_intent_id: Option<String>,
    /// When the row was made.
    #[serde(with = "micros")]
    pub created_at: Timestamp,
    /// When the row last changed.
    #[serde(with = "micros")]
    pub updated_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{self, CodecError, Framing, Kind, SchemaIds, WriterSchema};

    fn state() -> BookingState {
        BookingState {
            booking_id: Uuid::from_u128(7),
            reference: Some("cart-7".to_owned()),
            status: "CONFIRMED".to_owned(),
            payment_status: "PAID".to_owned(),
            amount_minor: Some(5000),
            currency: Some("usd".to_owned()),
            invitee_uri: Some("https://api.calendly.com/invitees/A".to_owned()),
            invitee_email: None,
            invitee_name: Some("Ada".to_owned()),
            event_uri: None,
            event_type_uri: None,
            event_name: Some("Intro".to_owned()),
            start_time: Some(Timestamp::from_microsecond(1_700_000_000_000_001).unwrap()),
            end_time: None,
            no_show: true,
            checkout_session_id: None,
            checkout_url: None,
            payment_intent_id: Some("pi_1".to_owned()),
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::from_microsecond(-1).unwrap(),
        }
    }

    #[test]
    fn what_is_encoded_is_decoded_in_either_framing() {
        let mut ids = SchemaIds::default();
        ids.insert(9, WriterSchema::parse(codec::BOOKING_SCHEMA).unwrap());
        for framing in [Framing::SingleObject, Framing::Confluent(9)] {
            let bytes = codec::encode_booking_as(&state(), framing).unwrap();
            assert_eq!(codec::decode_booking_with(&bytes, &ids), Ok(state()));
            assert_eq!(codec::decode_with(&bytes, &ids), Err(CodecError::NotAnEvent));
        }
    }

    #[test]
    fn an_event_is_no_state() {
        let event = crate::StripeEvent {
            event_id: "evt_1".to_owned(),
            event_type: "refund.created".to_owned(),
            occurred_at: Timestamp::UNIX_EPOCH,
            received_at: Timestamp::UNIX_EPOCH,
            object_id: None,
            booking_id: None,
            payload: "{}".to_owned(),
        };
        let bytes = codec::encode_stripe(&event).unwrap();
        let wrong = CodecError::WrongKind { expected: Kind::Booking, found: Kind::Stripe };
        assert_eq!(codec::decode_booking_with(&bytes, &SchemaIds::default()), Err(wrong));
    }
}
