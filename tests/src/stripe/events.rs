//! Stripe's events and the queue of those that wait to be delivered as webhooks.

use std::collections::VecDeque;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;
use serde_json::{Value, json};

use super::API_VERSION;

/// The events that the webhook endpoint is subscribed to unless a test says otherwise.
pub const SUBSCRIBED: &[&str] = &[
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    "checkout.session.expired",
    "charge.refunded",
    "refund.created",
    "refund.updated",
    "refund.failed",
];

/// The request that brought an event about.
#[derive(Clone, Debug, Default)]
pub(super) struct Cause {
    pub(super) request: Option<String>,
    pub(super) idempotency_key: Option<String>,
}

/// One event; `body` is what is signed and sent.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// `evt_…`; the same for every delivery.
    pub id: String,
    /// Such as `checkout.session.completed`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Unix seconds by the double's clock.
    pub created: i64,
    /// The id of `data.object`.
    pub object: String,
    /// The delivery's body, byte for byte.
    #[serde(skip)]
    pub body: String,
}

impl Event {
    pub(super) fn new(id: String, kind: &str, created: i64, object: &Value, cause: &Cause) -> Self {
        let about = object["id"].as_str().unwrap_or_default().to_owned();
        let body = json!({
            "id": id,
            "object": "event",
            "api_version": API_VERSION,
            "created": created,
            "data": { "object": object },
            "livemode": false,
            "pending_webhooks": 1,
            "request": { "id": cause.request, "idempotency_key": cause.idempotency_key },
            "type": kind,
        });
        Self { id, kind: kind.to_owned(), created, object: about, body: format!("{body:#}") }
    }
}

/// All events, and those of them that still wait for delivery.
#[derive(Debug)]
pub(super) struct Outbox {
    pub(super) all: Vec<Event>,
    waiting: VecDeque<Event>,
    subscribed: Vec<String>,
    /// How many extra deliveries each event gets.
    pub(super) duplicates: u32,
    pub(super) shuffle: bool,
    rng: StdRng,
}

impl Default for Outbox {
    fn default() -> Self {
        Self::new(0)
    }
}

impl Outbox {
    pub(super) fn new(seed: u64) -> Self {
        let subscribed = SUBSCRIBED.iter().map(ToString::to_string).collect();
        let rng = StdRng::seed_from_u64(seed);
        Self { all: Vec::new(), waiting: VecDeque::new(), subscribed, duplicates: 0, shuffle: false, rng }
    }

    pub(super) fn subscribe(&mut self, kinds: &[&str]) {
        self.subscribed = kinds.iter().map(ToString::to_string).collect();
    }

    pub(super) fn shuffle_seed(&mut self, seed: u64) {
        self.shuffle = true;
        self.rng = StdRng::seed_from_u64(seed);
    }

    pub(super) fn push(&mut self, event: Event) {
        if self.subscribed.iter().any(|kind| kind == "*" || *kind == event.kind) {
            for _ in 0..=self.duplicates {
                self.waiting.push_back(event.clone());
            }
        }
        self.all.push(event);
    }

    /// The next event to deliver: the oldest, or any one when shuffled.
    pub(super) fn pop(&mut self) -> Option<Event> {
        if self.shuffle && !self.waiting.is_empty() {
            let at = self.rng.random_range(0..self.waiting.len());
            return self.waiting.remove(at);
        }
        self.waiting.pop_front()
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }
}
