//! Stories of bookings, told out of order, and a model that plays them in order.

use jiff::{SignedDuration, Timestamp};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use crate::calendly::{Delivery, Invitee};
use crate::stripe::StripeDouble;

/// What every booking costs.
const PRICE: i64 = 5000;

/// What a business would say that the booking is, having watched it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Model {
    active: bool,
    paid: bool,
    was_paid: bool,
}

/// Status, payment status, live sessions, net money.
pub type Outcome = (&'static str, &'static str, usize, i64);

impl Model {
    fn create_or_move(&mut self) {
        self.active = true;
    }

    fn cancel(&mut self) {
        self.active = false;
        self.paid = false;
    }

    fn pay(&mut self) {
        self.paid = true;
        self.was_paid = true;
    }

    /// The appointment stands.
    pub fn is_active(self) -> bool {
        self.active
    }

    /// What is to be seen in the end.
    pub fn outcome(self) -> Outcome {
        match (self.active, self.paid) {
            (true, true) => ("CONFIRMED", "PAID", 0, PRICE),
            (true, false) => ("PENDING_PAYMENT", "UNPAID", 1, 0),
            (false, _) => ("CANCELED", if self.was_paid { "REFUNDED" } else { "UNPAID" }, 0, 0),
        }
    }
}

/// One booking's story so far: who it is about, and what is still to be delivered.
pub struct Story {
    /// Whom the booking is about now.
    pub invitee: Invitee,
    /// What it should be.
    pub model: Model,
    at: Timestamp,
    deliveries: Vec<Delivery>,
    told: i64,
    rng: StdRng,
}

impl Story {
    /// Somebody books, and perhaps thinks again once or twice.
    pub fn begin(number: u64) -> Self {
        let at = Timestamp::now() - SignedDuration::from_mins(10);
        let (invitee, rng) = (Invitee::new(0xbeef_0000 + number), StdRng::seed_from_u64(number));
        let mut story = Self { deliveries: Vec::new(), told: 0, model: Model::default(), at, invitee, rng };
        story.tell(story.invitee.created());
        story.model.create_or_move();
        story.go_on();
        story
    }

    /// The customer has paid. What follows the payment follows it in time, by more than Stripe's whole seconds.
    pub fn paid(&mut self) {
        self.model.pay();
        self.at = Timestamp::now() + SignedDuration::from_secs(3);
        self.go_on();
    }

    /// Whether this customer pays, if the appointment stands.
    pub fn wants_to_pay(&mut self) -> bool {
        self.model.active && self.rng.random_bool(0.7)
    }

    /// What is to be delivered now: in any order, some of it twice.
    pub fn take_deliveries(&mut self) -> Vec<Delivery> {
        let mut deliveries = std::mem::take(&mut self.deliveries);
        let again: Vec<_> = deliveries.iter().filter(|_| self.rng.random_bool(0.4)).cloned().collect();
        deliveries.extend(again);
        deliveries.shuffle(&mut self.rng);
        deliveries
    }

    /// The session that the booking shows, once everything that was told is in its history: a session from before a
    /// cancellation that nobody has heard of yet is not the one that the customer means to pay.
    pub async fn session(&self, database: &tokio_postgres::Client) -> Option<String> {
        let query = "SELECT checkout_session_id FROM bookings WHERE invitee_uri = $1 AND $2 = (SELECT count(*) \
                     FROM booking_events WHERE booking_id = bookings.id AND event_type LIKE 'invitee.%')";
        database.query_opt(query, &[&self.invitee.uri, &self.told]).await.ok()??.get(0)
    }

    fn go_on(&mut self) {
        for _ in 0..self.rng.random_range(0..3) {
            self.next();
        }
    }

    fn tell(&mut self, delivery: Delivery) {
        self.deliveries.push(delivery.occurred(self.at));
        self.told += 1;
    }

    /// The next thing that happens: a reschedule, told one way or the other, or a cancellation.
    fn next(&mut self) {
        self.at += SignedDuration::from_millis(1500);
        if self.model.active && self.rng.random_bool(0.4) {
            self.tell(self.invitee.canceled());
            self.model.cancel();
            return;
        }
        let next = self.invitee.moved();
        if self.model.active && self.rng.random_bool(0.6) {
            let (left, created) = self.invitee.reschedule_pair(&next);
            self.tell(left);
            self.tell(created);
        } else {
            self.tell(next.rescheduled_event());
        }
        self.model.create_or_move();
        self.invitee = next;
    }
}

/// What the database and Stripe say of a booking, once both say something that the model knows.
pub async fn outcome(database: &tokio_postgres::Client, stripe: &StripeDouble, invitee: &Invitee) -> Option<Outcome> {
    let query = "SELECT id, status, payment_status FROM bookings WHERE invitee_uri = $1";
    let row = database.query_opt(query, &[&invitee.uri]).await.ok()??;
    let known = |text: String, words: &[&'static str]| words.iter().copied().find(|word| *word == text);
    let status = known(row.get("status"), &["PENDING_PAYMENT", "CONFIRMED", "CANCELED"])?;
    let payment = known(row.get("payment_status"), &["UNPAID", "PAID", "REFUNDED"])?;
    // Stripe may hold money under the id of a booking that was merged into this one.
    let mut ids = vec![row.get::<_, uuid::Uuid>("id")];
    let aliases = database.query("SELECT alias FROM booking_aliases WHERE booking_id = $1", &[&ids[0]]).await.ok()?;
    ids.extend(aliases.iter().map(|row| row.get::<_, uuid::Uuid>(0)));
    let summary = stripe.summary();
    let money: Vec<_> = ids.iter().filter_map(|id| summary.get(&id.to_string())).collect();
    let (live, net) = (money.iter().map(|m| m.live_sessions).sum(), money.iter().map(|m| m.net()).sum());
    Some((status, payment, live, net))
}
