//! The exact parameters of an operation. They are stored before the first try: Stripe refuses an idempotency key that
//! comes back with other parameters.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::fold::Booking;
use crate::plan::OperationKind;
use crate::price::Price;

/// What every Checkout session of ours has in common.
#[derive(Clone, Debug, Default)]
pub struct CheckoutTerms {
    /// Where Stripe sends the customer after payment.
    pub success_url: String,
    /// Where Stripe sends the customer who turns back.
    pub cancel_url: String,
    /// How long a session stays open.
    pub ttl: Duration,
}

/// Form fields, in order.
pub type Fields = Vec<(String, String)>;

const PRODUCT_NAME: &str = "line_items[0][price_data][product_data][name]";
/// A product without a name of its own.
const NAMELESS: &str = "Appointment";

/// `expires_at` may be 30 minutes to 24 hours ahead, by Stripe's clock: a minute is left for the two clocks to differ.
const SOONEST: Duration = Duration::from_mins(31);
const LATEST: Duration = Duration::from_mins(24 * 60 - 1);

/// `expires_at` of a session that is opened now, in Unix seconds.
pub(super) fn expires_at(terms: &CheckoutTerms, now: Timestamp) -> i64 {
    let ttl = terms.ttl.clamp(SOONEST, LATEST);
    now.as_second() + SignedDuration::try_from(ttl).map_or(0, |ttl| ttl.as_secs())
}

/// Whether Stripe would still take these fields in a first try: the expiry must be far enough ahead.
pub(super) fn are_fresh(fields: &[(String, String)], now: Timestamp) -> bool {
    let expiry = fields.iter().find(|(name, _)| name == "expires_at").and_then(|(_, value)| value.parse::<i64>().ok());
    expiry.is_none_or(|expiry| expiry - now.as_second() >= 30 * 60 + 10)
}

/// Puts a new expiry into fields that have one.
pub(super) fn refresh(fields: &mut Fields, terms: &CheckoutTerms, now: Timestamp) {
    for (name, value) in fields {
        if name == "expires_at" {
            *value = expires_at(terms, now).to_string();
        }
    }
}

/// The fields of a new operation.
pub(super) fn fields(
    kind: OperationKind,
    target: &str,
    (booking_id, operation_id): (Uuid, Uuid),
    booking: &Booking,
    terms: &CheckoutTerms,
    now: Timestamp,
) -> Fields {
    match kind {
        OperationKind::CreateSession => session(booking_id, operation_id, booking, terms, now),
        OperationKind::ExpireSession => Vec::new(),
        OperationKind::Refund => vec![
            field("payment_intent", target),
            field("reason", "requested_by_customer"),
            field("metadata[booking_id]", booking_id),
            field("metadata[operation_id]", operation_id),
        ],
    }
}

fn session(booking_id: Uuid, operation_id: Uuid, booking: &Booking, terms: &CheckoutTerms, now: Timestamp) -> Fields {
    let (minor, currency) = match &booking.price {
        Some(Price::Amount { minor, currency }) => (*minor, currency.as_str()),
        // The plan opens no session without an amount; Stripe refuses this one, visibly.
        Some(Price::Free) | None => (0, ""),
    };
    let mut fields = vec![
        field("mode", "payment"),
        field("client_reference_id", booking_id),
        field("line_items[0][price_data][currency]", currency),
        field("line_items[0][price_data][unit_amount]", minor),
        field(PRODUCT_NAME, product_name(booking)),
        field("line_items[0][quantity]", 1),
        field("success_url", &terms.success_url),
        field("cancel_url", &terms.cancel_url),
        field("expires_at", expires_at(terms, now)),
    ];
    for owner in ["metadata", "payment_intent_data[metadata]"] {
        fields.push(field(&format!("{owner}[booking_id]"), booking_id));
        fields.push(field(&format!("{owner}[operation_id]"), operation_id));
    }
    if let Some(email) = booking.details.email.as_deref().filter(|email| is_plausible(email)) {
        fields.push(field("customer_email", email));
    }
    fields
}

/// Drops who pays, and the product's name, which may name them ("Intro: Ada Lovelace"). Stripe refuses a key that comes back with other fields, and then the session is looked for.
pub(super) fn forget_person(fields: &mut Fields) -> bool {
    let before = fields.clone();
    fields.retain(|(name, _)| name != "customer_email");
    for (_, value) in fields.iter_mut().filter(|(name, _)| name == PRODUCT_NAME) {
        NAMELESS.clone_into(value);
    }
    *fields != before
}

fn field(name: &str, value: impl std::fmt::Display) -> (String, String) {
    (name.to_owned(), value.to_string())
}

fn product_name(booking: &Booking) -> String {
    let name = booking.details.event_name.as_deref().unwrap_or_default();
    let name: String = name.chars().filter(|c| !c.is_control()).take(250).collect();
    if name.trim().is_empty() { NAMELESS.to_owned() } else { name }
}

/// Stripe refuses the whole session for an address that it takes for none, and the address is only a convenience.
fn is_plausible(email: &str) -> bool {
    let Some((local, domain)) = email.split_once('@') else { return false };
    let legal = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_graphic() && c != '@');
    legal(local)
        && legal(domain)
        && domain.contains('.')
        && !domain.starts_with('.')
        && !domain.ends_with('.')
        && email.len() <= 512
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expiry_stays_within_stripes_limits() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let ahead = |seconds| {
            let terms = CheckoutTerms { ttl: Duration::from_secs(seconds), ..CheckoutTerms::default() };
            expires_at(&terms, now) - now.as_second()
        };
        assert_eq!(ahead(1), 31 * 60);
        assert_eq!(ahead(3600), 3600);
        assert_eq!(ahead(24 * 3600), 24 * 3600 - 60);
    }

    #[test]
    fn implausible_addresses_are_left_out() {
        assert!(is_plausible("a.b+c@example.com"));
        for wrong in ["", "a", "a@b", "@example.com", "a@", "a b@example.com", "a@ex@ample.com", "a@.com", "a@com."] {
            assert!(!is_plausible(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_product_may_name_the_person_and_so_is_forgotten() {
        let fields = |name: &str| vec![field(PRODUCT_NAME, name), field("customer_email", "ada@example.com")];
        let mut named = fields("Intro: Ada Lovelace");
        assert!(forget_person(&mut named));
        assert_eq!(named, [field(PRODUCT_NAME, NAMELESS)]);
        assert!(!forget_person(&mut named), "there is nothing left to drop");
    }
}
