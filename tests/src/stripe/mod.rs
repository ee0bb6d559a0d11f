//! A stateful double of the part of Stripe that the pipeline uses, as strict as Stripe itself: it refuses unknown
//! parameters, keeps idempotency keys with their answers (500s included), settles money only when told, and sends
//! signed webhooks. Everything that can go wrong with Stripe can be told to go wrong here.

mod api;
mod auth;
mod conn;
mod control;
mod delivery;
mod endpoint;
mod error;
mod events;
mod expand;
mod faults;
mod idempotency;
mod journal;
mod lists;
mod model;
mod money;
mod objects;
mod params;
mod rules;
mod server;
mod shape;
pub mod signature;
mod state;
mod store;
mod summary;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use self::conn::{Conn, CutListener};
pub use self::delivery::http_client;
pub use self::endpoint::Endpoint;
pub use self::events::{Event, SUBSCRIBED};
pub use self::faults::{Fault, Injection};
pub use self::journal::Received;
pub use self::model::{IntentStatus, PaymentIntent, Refund, RefundStatus, Session, SessionStatus};
pub use self::money::ControlError;
pub use self::params::Params;
use self::state::{Inner, State};
pub use self::store::RefundMode;
pub use self::summary::{BookingMoney, Summary};

/// The one version that the double answers to.
pub const API_VERSION: &str = "2026-08-26.dahlia";

/// How a double is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen; port 0 for any.
    pub addr: SocketAddr,
    /// Origin of the pages to pay on, as a browser reaches them; the address when absent.
    pub public_url: Option<String>,
    /// The only key that is let in.
    pub secret_key: String,
    /// Where webhooks go; queued for the test when absent.
    pub webhook_url: Option<String>,
    /// What webhooks are signed with.
    pub webhook_secret: String,
    /// Makes ids and shuffles differ between doubles.
    pub seed: u64,
    /// More requests than this within a second get 429.
    pub requests_per_second: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            public_url: None,
            secret_key: "sk_test_double".to_owned(),
            webhook_url: None,
            webhook_secret: "whsec_double".to_owned(),
            seed: 0,
            requests_per_second: None,
        }
    }
}

/// A webhook that the test delivers itself.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// What it tells.
    pub event: Event,
    /// The body, byte for byte.
    pub body: Vec<u8>,
    /// `Stripe-Signature`, made when the webhook was taken.
    pub signature: String,
}

/// A running double; dropping it ends it and every connection.
pub struct StripeDouble {
    inner: Arc<Inner>,
    addr: SocketAddr,
}

impl Drop for StripeDouble {
    fn drop(&mut self) {
        self.inner.gone.store(true, Ordering::SeqCst);
        self.inner.stop.cancel();
    }
}

/// Starting, addresses, and what the double does to requests.
impl StripeDouble {
    /// Starts with the default options.
    pub async fn start() -> Self {
        Self::start_with(Options::default()).await
    }

    /// Starts and listens.
    ///
    /// # Panics
    /// When the address is taken.
    pub async fn start_with(options: Options) -> Self {
        let tcp = TcpListener::bind(options.addr).await.expect("the double's address is free");
        let addr = tcp.local_addr().unwrap();
        let pages = options.public_url.clone().unwrap_or_else(|| format!("http://{addr}"));
        let inner = Arc::new(Inner {
            state: Mutex::new(State::new(&options, pages)),
            options,
            wake: Notify::new(),
            delivering: AtomicUsize::default(),
            hanging: AtomicUsize::default(),
            release: watch::Sender::new(0),
            requests: AtomicU64::default(),
            gone: Arc::default(),
            stop: CancellationToken::new(),
        });
        let listener = CutListener { tcp, all: Arc::clone(&inner.gone) };
        let app = server::router(Arc::clone(&inner)).into_make_service_with_connect_info::<Conn>();
        let stop = inner.stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                _ = axum::serve(listener, app) => {}
            }
        });
        tokio::spawn(delivery::run(Arc::clone(&inner)));
        Self { inner, addr }
    }

    /// The origin for `STRIPE_API_BASE`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The key for `STRIPE_SECRET_KEY`.
    pub fn secret_key(&self) -> &str {
        &self.inner.options.secret_key
    }

    /// The secret for `STRIPE_WEBHOOK_SECRETS`.
    pub fn webhook_secret(&self) -> &str {
        &self.inner.options.webhook_secret
    }

    /// Lets the next request to the endpoint fail; several faults for one endpoint hit one request each, in order.
    pub fn inject(&self, endpoint: Endpoint, fault: Fault) {
        self.inject_with(Injection::on(endpoint, fault));
    }

    /// Lets requests fail as described.
    pub fn inject_with(&self, injection: Injection) {
        self.inner.lock().faults.push(injection);
    }

    /// Drops all faults that still wait, the permanent ones too.
    pub fn clear_faults(&self) {
        self.inner.lock().faults.clear(None);
    }

    /// Drops the faults of one endpoint.
    pub fn clear_faults_of(&self, endpoint: Endpoint) {
        self.inner.lock().faults.clear(Some(endpoint));
    }

    /// How many injections still wait; a permanent one always does.
    pub fn faults_left(&self) -> usize {
        self.inner.lock().faults.left()
    }

    /// Every connection is cut before anything happens, until [`Self::clear_faults`].
    pub fn go_down(&self) {
        self.inject_with(Injection::any(Fault::DropBefore).always());
    }

    /// Lets every held-back request go on.
    pub fn release(&self) {
        self.inner.release.send_modify(|generation| *generation += 1);
    }

    /// How many requests are held back.
    pub fn hanging(&self) -> usize {
        self.inner.hanging.load(Ordering::SeqCst)
    }

    /// Requests beyond this many within a second get 429.
    pub fn limit_rate(&self, requests_per_second: Option<u32>) {
        self.inner.lock().requests_per_second = requests_per_second;
    }

    /// Forgets the saved answers, as Stripe may after 24 hours.
    pub fn forget_idempotency_keys(&self) {
        self.inner.lock().keys.forget();
    }

    /// Sets Stripe's clock forward; sessions whose time has come expire.
    pub fn advance(&self, by: Duration) {
        self.inner.with(|store| store.advance(by));
    }
}

/// What customers, banks and people at the dashboard do.
impl StripeDouble {
    /// The customer pays an open session with a card. Gives the payment intent's id.
    pub fn pay(&self, session: &str) -> Result<String, ControlError> {
        self.inner.with(|store| store.complete(session, true))
    }

    /// The customer goes through checkout with a delayed method: complete, yet unpaid. Gives the payment intent's id.
    pub fn pay_async(&self, session: &str) -> Result<String, ControlError> {
        self.inner.with(|store| store.complete(session, false))
    }

    /// A delayed payment arrives, or fails.
    pub fn settle_async(&self, session: &str, ok: bool) -> Result<(), ControlError> {
        self.inner.with(|store| store.settle_payment(session, ok))
    }

    /// Whether refunds from now on are done at once.
    pub fn refund_mode(&self, mode: RefundMode) {
        self.inner.with(|store| store.refund_mode = mode);
    }

    /// Sends `charge.refunded` when a refund is created though it is pending, and counts it in `amount_refunded`:
    /// no source says which of the two Stripe does.
    pub fn early_charge_refunded(&self, early: bool) {
        self.inner.with(|store| store.early_charge_refunded = early);
    }

    /// A pending refund succeeds, fails or is canceled.
    pub fn settle_refund(&self, refund: &str, to: RefundStatus) -> Result<(), ControlError> {
        self.inner.with(|store| store.settle_refund(refund, to))
    }

    /// A refund that was reported done fails after all.
    pub fn fail_refund_after_success(&self, refund: &str) -> Result<(), ControlError> {
        self.settle_refund(refund, RefundStatus::Failed)
    }

    /// A person refunds this much in the dashboard. Gives the refund's id.
    pub fn dashboard_refund(&self, payment_intent: &str, amount: i64) -> Result<String, ControlError> {
        self.inner.with(|store| store.dashboard_refund(payment_intent, amount))
    }
}

/// Webhooks.
impl StripeDouble {
    /// Delivers webhooks here from now on, or keeps them for [`Self::take_webhooks`].
    pub fn webhooks_to(&self, url: Option<&str>) {
        let secret = self.inner.options.webhook_secret.clone();
        self.inner.lock().target = url.map(|url| delivery::Target { url: url.to_owned(), secret });
        self.inner.wake.notify_one();
    }

    /// Subscribes to these events only, `*` meaning all; [`SUBSCRIBED`] is the default.
    pub fn subscribe(&self, kinds: &[&str]) {
        self.inner.with(|store| store.outbox.subscribe(kinds));
    }

    /// Every event from now on is delivered so many times more.
    pub fn deliver_duplicates(&self, extra: u32) {
        self.inner.with(|store| store.outbox.duplicates = extra);
    }

    /// Events from now on are delivered in an order that this seed decides.
    pub fn shuffle(&self, seed: u64) {
        self.inner.with(|store| store.outbox.shuffle_seed(seed));
    }

    /// Takes what waits for delivery, signed now, duplicates and shuffle included.
    pub fn take_webhooks(&self) -> Vec<Webhook> {
        let events = self.inner.with(|store| std::iter::from_fn(|| store.outbox.pop()).collect::<Vec<_>>());
        let sign = |event: Event| {
            let body = event.body.clone().into_bytes();
            Webhook { signature: signature::header_now(self.webhook_secret(), &body), body, event }
        };
        events.into_iter().map(sign).collect()
    }

    /// Every event so far, subscribed to or not.
    pub fn events(&self) -> Vec<Event> {
        self.inner.with(|store| store.outbox.all.clone())
    }

    /// Waits until every webhook was taken by its receiver; false when that takes longer.
    pub async fn webhooks_delivered(&self, within: Duration) -> bool {
        delivery::idle(&self.inner, within).await
    }
}

/// Looking inside.
impl StripeDouble {
    /// All sessions, oldest first.
    pub fn sessions(&self) -> Vec<Session> {
        self.inner.with(|store| store.sessions.rows().to_vec())
    }

    /// One session.
    pub fn session(&self, id: &str) -> Option<Session> {
        self.inner.with(|store| store.sessions.get(id).cloned())
    }

    /// The sessions of one booking, oldest first.
    pub fn sessions_of(&self, booking: &str) -> Vec<Session> {
        self.sessions().into_iter().filter(|session| session.booking() == Some(booking)).collect()
    }

    /// All payment intents, oldest first.
    pub fn payment_intents(&self) -> Vec<PaymentIntent> {
        self.inner.with(|store| store.intents.rows().to_vec())
    }

    /// All refunds, oldest first.
    pub fn refunds(&self) -> Vec<Refund> {
        self.inner.with(|store| store.refunds.rows().to_vec())
    }

    /// Every request received, oldest first.
    pub fn requests(&self) -> Vec<Received> {
        self.inner.lock().journal.clone()
    }

    /// How many requests to the endpoint were executed, not counting replays and early refusals.
    pub fn executions(&self, endpoint: Endpoint) -> usize {
        let state = self.inner.lock();
        state.journal.iter().filter(|entry| entry.executed && entry.endpoint == Some(endpoint)).count()
    }

    /// Sessions and money per booking.
    pub fn summary(&self) -> Summary {
        self.inner.with(|store| summary::summary(store))
    }
}
