//! Webhooks on their way: signed, sent, tried again until the receiver takes them.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Once};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::events::Event;
use super::signature;
use super::state::Inner;

const AT_ONCE: usize = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Where webhooks go.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) url: String,
    pub(super) secret: String,
}

/// An HTTP client for tests. The workspace's reqwest has no TLS provider of its own, so one is installed first.
pub fn http_client() -> reqwest::Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // An error means that the process has one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    // No connection is used twice: what is sent into one that ingest is just closing, after ten silent seconds, has no answer.
    let builder = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(15)).pool_max_idle_per_host(0);
    builder.build().unwrap()
}

/// Delivers what waits in the outbox until the double stops, several at a time and so in no certain order.
pub(super) async fn run(inner: Arc<Inner>) {
    let client = http_client();
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    let mut tick = tokio::time::interval(Duration::from_millis(200));
    loop {
        tokio::select! {
            () = inner.stop.cancelled() => return,
            () = inner.wake.notified() => {}
            // Sessions expire though nobody asks.
            _ = tick.tick() => inner.lock().store.expire_due(),
        }
        while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
            let Some((event, target)) = next(&inner) else { break };
            let (inner, client) = (Arc::clone(&inner), client.clone());
            tokio::spawn(async move {
                tokio::select! {
                    () = inner.stop.cancelled() => {}
                    () = deliver(&inner, &client, &event, target) => {}
                }
                inner.delivering.fetch_sub(1, Ordering::SeqCst);
                drop(slot);
                inner.wake.notify_one();
            });
        }
    }
}

/// Takes an event and counts it as under way in one step, so that nobody sees it in neither place.
fn next(inner: &Inner) -> Option<(Event, Target)> {
    let mut state = inner.lock();
    let target = state.target.clone()?;
    let event = state.store.outbox.pop()?;
    inner.delivering.fetch_add(1, Ordering::SeqCst);
    Some((event, target))
}

async fn deliver(inner: &Inner, client: &reqwest::Client, event: &Event, mut target: Target) {
    let mut pause = FIRST_PAUSE;
    loop {
        // Signed afresh each time, as Stripe does: the receiver's tolerance counts from the attempt.
        let signed = signature::header_now(&target.secret, event.body.as_bytes());
        let request = client.post(&target.url).header("Stripe-Signature", signed);
        let request = request.header("Content-Type", "application/json; charset=utf-8").body(event.body.clone());
        if request.send().await.is_ok_and(|response| response.status().is_success()) {
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        let current = inner.lock().target.clone();
        target = current.unwrap_or(target);
    }
}

/// Waits until no webhook is queued or under way; false when that takes too long.
pub(super) async fn idle(inner: &Inner, within: Duration) -> bool {
    let quiet = async {
        loop {
            let queued = inner.lock().store.outbox.waiting() + inner.delivering.load(Ordering::SeqCst);
            if queued == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(within, quiet).await.is_ok()
}
