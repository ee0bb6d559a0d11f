//! A stateful double of the part of Calendly's API that the pipeline uses, as strict as Calendly: it refuses parameters
//! that it does not know, tokens that are wrong and addresses that are taken, and it counts requests. Its URIs name
//! Calendly's own host, so whoever follows them instead of the configured base does not get far.

mod answer;
mod meetings;
mod requests;
mod server;
mod state;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use self::requests::Received;
use self::state::State;
use crate::calendly::Invitee;

/// The only token that is let in.
pub const TOKEN: &str = "calendly-token-of-tests";
/// The organization of the token's owner.
pub const ORGANIZATION: &str = "https://api.calendly.com/organizations/AAAAAAAAAAAAAAAA";
/// The token's owner.
pub const USER: &str = "https://api.calendly.com/users/AAAAAAAAAAAAAAAA";
/// A group of the organization.
pub const GROUP: &str = "https://api.calendly.com/groups/AAAAAAAAAAAAAAAA";

/// Whose address is taken, of which no source tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Taken {
    /// That of every subscription.
    #[default]
    ByAny,
    /// That of an active one.
    ByActive,
    /// None: there may be two of one address.
    Never,
}

/// How a request goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is answered with this status, and not done.
    Status(u16),
    /// Nothing goes wrong.
    Done,
    /// It is done, and answered with this status.
    DoneBut(u16),
    /// It is answered by something that is not Calendly.
    NoJson,
}

/// A running double; dropping it ends it.
pub struct CalendlyDouble {
    state: Arc<Mutex<State>>,
    addr: SocketAddr,
    stop: CancellationToken,
}

impl Drop for CalendlyDouble {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl CalendlyDouble {
    /// Starts and listens.
    pub async fn start() -> Self {
        let tcp = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port is free");
        let addr = tcp.local_addr().unwrap();
        let (state, stop) = (Arc::new(Mutex::new(State::default())), CancellationToken::new());
        let (app, stopped) = (server::router(Arc::clone(&state)), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = stopped.cancelled() => {}
                _ = axum::serve(tcp, app) => {}
            }
        });
        Self { state, addr, stop }
    }

    /// For `CALENDLY_API_BASE`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The variables with which ingest and calctl find it.
    pub fn env(&self, public_url: &str) -> [(String, String); 3] {
        [("CALENDLY_API_BASE", self.url().as_str()), ("CALENDLY_TOKEN", TOKEN), ("PUBLIC_URL", public_url)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
    }

    /// All subscriptions, oldest first, as Calendly shows them.
    pub fn subscriptions(&self) -> Vec<Value> {
        self.lock().subscriptions.iter().map(|one| one.shown.clone()).collect()
    }

    /// The signing key of a subscription.
    pub fn signing_key(&self, uri: &str) -> Option<String> {
        let state = self.lock();
        state.subscriptions.iter().find(|one| one.shown["uri"] == uri).and_then(|one| one.signing_key.clone())
    }

    /// Makes a subscription of the organization, as somebody at Calendly's own tools would. Gives its URI.
    pub fn add(&self, callback_url: &str, events: &[&str]) -> String {
        let body =
            json!({ "url": callback_url, "events": events, "organization": ORGANIZATION, "scope": "organization" });
        self.add_as(&body)
    }

    /// The same, of any scope: what would be sent.
    pub fn add_as(&self, body: &Value) -> String {
        self.lock().insert(body)
    }

    /// Calendly gives a subscription up.
    ///
    /// # Panics
    /// When there is no such subscription.
    pub fn disable(&self, uri: &str) {
        self.lock().change(uri, "state", json!("disabled"));
    }

    /// Deliveries of a subscription have been failing since this time (RFC 3339), or no more.
    ///
    /// # Panics
    /// When there is no such subscription.
    pub fn retrying_since(&self, uri: &str, time: Option<&str>) {
        self.lock().change(uri, "retry_started_at", json!(time));
    }

    /// Whose addresses are taken; [`Taken::ByAny`] is the default.
    pub fn taken(&self, taken: Taken) {
        self.lock().taken = taken;
    }

    /// Whether the account's plan has webhooks.
    pub fn plan_has_webhooks(&self, has: bool) {
        self.lock().no_webhooks = !has;
    }

    /// Whether the token's owner may see what is the organization's.
    pub fn owner_is_admin(&self, is: bool) {
        self.lock().no_admin = !is;
    }

    /// So many requests are let in within a window, the others get 429.
    pub fn limit_rate(&self, requests: u32, window: Duration) {
        self.lock().limit = Some(state::Limit::new(requests, window));
    }

    /// Lets the next request of this method below this path fail; several hit one request each, in order.
    pub fn inject(&self, method: &'static str, path: &'static str, fault: Fault) {
        self.lock().faults.push((method, path, fault));
    }

    /// Nothing goes wrong any more.
    pub fn clear_faults(&self) {
        self.lock().faults.clear();
    }

    /// Somebody books a meeting for one, at the time that they say.
    pub fn book(&self, invitee: &Invitee) {
        self.lock().book(invitee, 1);
    }

    /// Somebody books a place in a meeting that has so many.
    pub fn book_in_group(&self, invitee: &Invitee, places: u32) {
        self.lock().book(invitee, places);
    }

    /// Somebody cancels.
    ///
    /// # Panics
    /// When they have not booked.
    pub fn cancel(&self, invitee: &Invitee, at: Timestamp) {
        self.lock().cancel(invitee, at, None);
    }

    /// Somebody moves to another meeting, at the time that `to` was booked.
    ///
    /// # Panics
    /// When they have not booked.
    pub fn reschedule(&self, from: &Invitee, to: &Invitee) {
        let mut state = self.lock();
        state.cancel(from, to.booked_at, Some(to));
        state.book(to, 1);
    }

    /// The host marks somebody as one who did not come.
    ///
    /// # Panics
    /// When they have not booked.
    pub fn mark_no_show(&self, invitee: &Invitee, at: Timestamp) {
        self.lock().mark_no_show(invitee, at);
    }

    /// Every request, oldest first.
    pub fn requests(&self) -> Vec<Received> {
        self.lock().journal.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
