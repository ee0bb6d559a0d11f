//! Everything behind the double's one mutex, and what a request does to it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::Options;
use super::delivery::Target;
use super::endpoint::Endpoint;
use super::error::{Answer, Refusal};
use super::events::Cause;
use super::faults::{Fault, Faults};
use super::idempotency::{Keys, Use};
use super::journal::Received;
use super::params::Params;
use super::shape;
use super::store::Store;

/// A request whose headers and form were found sound.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) request: String,
    pub(super) endpoint: Endpoint,
    pub(super) path: String,
    /// The id in the path.
    pub(super) id: String,
    pub(super) params: Params,
    /// Only for writes.
    pub(super) key: Option<String>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) store: Store,
    pub(super) faults: Faults,
    pub(super) keys: Keys,
    pub(super) journal: Vec<Received>,
    pub(super) requests_per_second: Option<u32>,
    pub(super) target: Option<Target>,
    recent: VecDeque<Instant>,
}

/// Shared by the server, the webhook deliveries and the test.
pub(super) struct Inner {
    pub(super) options: Options,
    pub(super) state: Mutex<State>,
    /// Rung when an event may be ready for delivery.
    pub(super) wake: Notify,
    pub(super) delivering: AtomicUsize,
    pub(super) hanging: AtomicUsize,
    pub(super) release: watch::Sender<u64>,
    pub(super) requests: AtomicU64,
    /// Set when the double is gone: its connections end.
    pub(super) gone: Arc<AtomicBool>,
    pub(super) stop: CancellationToken,
}

impl Inner {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Works on the store with the clock brought up to date, then sees to the webhooks.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Store) -> T) -> T {
        let mut state = self.lock();
        state.store.expire_due();
        let result = work(&mut state.store);
        drop(state);
        self.wake.notify_one();
        result
    }

    pub(super) fn next_request_id(&self) -> String {
        format!("req_{:014}", self.requests.fetch_add(1, Ordering::SeqCst) + 1)
    }

    /// Waits for the next release; false when the double stops first.
    pub(super) async fn hang(&self) -> bool {
        let mut release = self.release.subscribe();
        let _hanging = Counted::new(&self.hanging);
        tokio::select! {
            _ = release.changed() => true,
            () = self.stop.cancelled() => false,
        }
    }

    /// Executes and saves the answer, in one step for every other request.
    pub(super) fn execute(&self, call: &Call, fault: Option<&Fault>) -> Answer {
        let mut state = self.lock();
        let mut answer = Answer::server_error();
        if fault != Some(&Fault::Saved500) {
            state.store.cause = Cause { request: Some(call.request.clone()), idempotency_key: call.key.clone() };
            let result = state.store.execute(call.endpoint, &call.id, &call.params);
            state.store.cause = Cause::default();
            if fault != Some(&Fault::ExecuteThen500) {
                answer = result.map_or_else(Refusal::into_answer, |object| Answer::ok(&object));
            }
        }
        if let Some(key) = &call.key {
            state.keys.save(key, &answer);
        }
        drop(state);
        self.wake.notify_one();
        answer
    }
}

/// What is to be done with a request after [`State::begin`].
pub(super) enum Begin {
    Run,
    Replay(Answer),
    Refuse(Answer),
}

impl State {
    pub(super) fn new(options: &Options, pages: String) -> Self {
        Self {
            store: Store::new(options.seed, pages),
            requests_per_second: options.requests_per_second,
            target: options.webhook_url.clone().map(|url| Target { url, secret: options.webhook_secret.clone() }),
            ..Self::default()
        }
    }

    /// Whether this request is one too many within a second.
    pub(super) fn is_over_rate(&mut self) -> bool {
        let Some(limit) = self.requests_per_second else { return false };
        let now = Instant::now();
        while self.recent.front().is_some_and(|at| now - *at >= Duration::from_secs(1)) {
            self.recent.pop_front();
        }
        if self.recent.len() >= limit as usize {
            return true;
        }
        self.recent.push_back(now);
        false
    }

    pub(super) fn take_fault(&mut self, call: &Call) -> Option<Fault> {
        let now = self.store.now();
        let replay = self.keys.is_saved(call.key.as_deref(), now);
        let fault = self.faults.take(call.endpoint, &call.id, &call.params, replay)?;
        if let Some(entry) = self.entry(&call.request) {
            entry.fault = Some(fault.clone());
        }
        Some(fault)
    }

    /// The key's saved answer, else validation, else the key is taken and the request runs.
    pub(super) fn begin(&mut self, call: &Call) -> Begin {
        self.store.expire_due();
        let now = self.store.now();
        let used = Use { path: call.path.clone(), params: call.params.clone() };
        let known = call.key.as_deref().and_then(|key| self.keys.answer(key, &used, now));
        if let Some(answer) = known {
            let saved = answer.headers.iter().any(|(name, _)| *name == "Idempotent-Replayed");
            return if saved { Begin::Replay(answer) } else { Begin::Refuse(answer) };
        }
        if let Err(refusal) = shape::validate(call.endpoint, &call.params, now) {
            return Begin::Refuse(refusal.into_answer());
        }
        if let Some(key) = &call.key {
            self.keys.begin(key, used, &call.request, now);
        }
        if let Some(entry) = self.entry(&call.request) {
            entry.executed = true;
        }
        Begin::Run
    }

    /// The journal's entry of a request, looked for from the end.
    pub(super) fn entry(&mut self, request: &str) -> Option<&mut Received> {
        self.journal.iter_mut().rev().find(|entry| entry.id == request)
    }
}

/// Counts what is under way, also when its future is dropped.
pub(super) struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    pub(super) fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
