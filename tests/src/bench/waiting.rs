//! Records as the processor leaves them in a tier.

use std::fmt::Write as _;
use std::ops::Range;
use std::time::Duration;

use jiff::Timestamp;
use rdkafka::message::{Header, OwnedHeaders};
use schemas::headers::EventHeaders;
use schemas::ladder::ErrorClass;
use schemas::{Headers, RetryHeaders};
use uuid::Uuid;

use super::load::Load;

/// When records are due: the first, and each one after it this much later.
#[derive(Clone, Copy, Debug)]
pub struct Spacing {
    /// When the first is due.
    pub first: Timestamp,
    /// How much later each next one is.
    pub interval: Duration,
}

impl Spacing {
    /// All at once.
    pub fn at(moment: Timestamp) -> Self {
        Self { first: moment, interval: Duration::ZERO }
    }
}

/// A part that repeats and one that does not, as in real events: it decides how far they can be compressed.
const TEXT: &str = r#"{"event":"invitee.created","payload":{"cancel_url":"https://calendly.com/cancellations/","name":
"Some One","status":"active","timezone":"Europe/Berlin","rescheduled":false,"tracking":{"utm_source":null},"event":
"https://api.calendly.com/scheduled_events/","questions_and_answers":[],"text_reminder_number":null}}"#;

/// One record for each number, which its key ends in.
pub fn records(numbers: Range<u32>, due: Spacing) -> impl Iterator<Item = Load> {
    let begin = numbers.start;
    let mut headers = None;
    numbers.map(move |number| {
        let due_at = due.first + due.interval * (number - begin);
        let reusable = headers.take().filter(|(at, _)| *at == due_at).map(|(_, headers)| headers);
        let made = reusable.unwrap_or_else(|| retry_headers(due_at));
        headers = Some((due_at, made.clone()));
        Load { key: format!("https://api.calendly.com/invitees/{number:08}"), value: value(), headers: made }
    })
}

fn value() -> Vec<u8> {
    let mut value = TEXT.to_owned();
    for _ in 0..10 {
        let _ = write!(value, "{:016x}", rand::random::<u64>());
    }
    value.into_bytes()
}

fn retry_headers(due_at: Timestamp) -> OwnedHeaders {
    let event = EventHeaders {
        event_id: Uuid::from_u128(rand::random()).to_string(),
        event_type: "invitee.created".to_owned(),
        received_at: due_at,
        traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned(),
    };
    let retry = RetryHeaders {
        attempt: 1,
        due_at,
        first_failed_at: due_at,
        failed_at: due_at,
        error_class: ErrorClass::Transient,
        error: "Stripe did not answer in time (create_session)".to_owned(),
        origin_topic: "calendly.events".to_owned(),
        origin_partition: 7,
        origin_offset: 1_234_567,
    };
    let headers = Headers { event: Some(event), retry: Some(retry), ..Headers::default() };
    headers
        .to_pairs()
        .iter()
        .fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value: Some(&**value) }))
}
