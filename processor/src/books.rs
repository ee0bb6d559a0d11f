//! The one way to the bookings: requests that come in at the same time share a transaction.
//!
//! A worker takes whatever is waiting, up to a limit, and waits for nothing more: at rest a request goes alone and at
//! once, under load the batches grow by themselves. A batch that fails is taken apart, so that one bad request, or one
//! booking that somebody has locked, fails by itself. That happens beside the workers and leaves connections for them:
//! however many bookings are locked, the others go on. A panic is such a failure too: a worker must outlive it, since
//! nobody can be told anything without workers.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bookings::store::{Answers, Applied, Request, Store, StoreError};
use futures_util::FutureExt;
use runtime::metrics::{DATABASE_TRANSACTION_DURATION, DATABASE_TRANSACTION_REQUESTS};
use runtime::telemetry::{SPANS, link_both};
use tokio::sync::{Mutex, Semaphore, mpsc, oneshot};
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use crate::money;

/// Requests in one transaction. Larger ones would hold their locks for longer and gain little.
const MAX_BATCH: usize = 128;
/// Transactions at the same time. Few, so that batches fill; more than one, so that the database is never idle while we
/// read or decide.
const WORKERS: usize = 4;
/// Requests that may wait for a worker before those who ask have to wait.
const QUEUE: usize = 1024;
/// A batch does not wait for somebody's lock for longer than this: its requests are then tried one by one.
const BATCH_PATIENCE: Duration = Duration::from_millis(500);
/// A request by itself may wait for longer, but not for as long as the others wait for a connection.
const PATIENCE: Duration = Duration::from_secs(2);

struct Job {
    request: Request,
    reply: oneshot::Sender<Result<Applied, StoreError>>,
    /// From asking to the answer.
    span: Span,
}

/// Takes requests. Cheap to clone; the workers end when the last clone is gone.
#[derive(Clone)]
pub struct Books {
    queue: mpsc::Sender<Job>,
}

impl Books {
    /// Starts the workers, `pool_size` of them at most.
    pub fn open(store: &Store, pool_size: usize) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let waiting = Arc::new(Mutex::new(waiting));
        // One is for the sweeper and the watch.
        let alone = Arc::new(Semaphore::new(pool_size.saturating_sub(WORKERS + 1).max(1)));
        for _ in 0..WORKERS.min(pool_size) {
            tokio::spawn(work(store.clone(), waiting.clone(), alone.clone()));
        }
        Self { queue }
    }

    /// Applies a request. See [`Store::apply`].
    pub async fn apply(&self, request: Request) -> Result<Applied, StoreError> {
        let gone = || StoreError::Unavailable("the service is stopping".to_owned());
        let (reply, answer) = oneshot::channel();
        let span = tracing::info_span!(target: SPANS, "apply");
        self.queue.send(Job { request, reply, span }).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

async fn work(store: Store, waiting: Arc<Mutex<mpsc::Receiver<Job>>>, permits: Arc<Semaphore>) {
    let mut jobs = Vec::with_capacity(MAX_BATCH);
    while waiting.lock().await.recv_many(&mut jobs, MAX_BATCH).await > 0 {
        let (requests, askers): (Vec<Request>, Vec<_>) =
            jobs.drain(..).map(|Job { request, reply, span }| (request, (reply, span))).unzip();
        let spans = askers.iter().map(|(_, span)| span);
        let answers = match Box::pin(transaction(&store, &requests, BATCH_PATIENCE, spans)).await {
            Ok(answers) => answers,
            Err(error) if may_work_alone(&error, requests.len()) => {
                tracing::debug!(%error, requests = requests.len(), "a batch failed; its requests go one by one");
                for (request, (reply, span)) in requests.into_iter().zip(askers) {
                    tokio::spawn(alone(store.clone(), permits.clone(), Job { request, reply, span }));
                }
                continue;
            }
            Err(error) => vec![Err(error); requests.len()],
        };
        for ((reply, _), answer) in askers.into_iter().zip(answers) {
            // Whoever asked may be gone: the service is stopping.
            let _ = reply.send(answer);
        }
    }
}

async fn alone(store: Store, permits: Arc<Semaphore>, Job { request, reply, span }: Job) {
    // Never closed.
    let _permit = permits.acquire().await;
    let unanswered = || StoreError::Raced("a request was left without an answer".to_owned());
    let spans = std::iter::once(&span);
    let answers = transaction(&store, std::slice::from_ref(&request), PATIENCE, spans).await;
    let _ = reply.send(answers.and_then(|mut answers| answers.pop().unwrap_or_else(|| Err(unanswered()))));
}

/// Applies requests in one transaction, and tells metrics and traces of it.
async fn transaction<'s>(
    store: &Store,
    requests: &[Request],
    patience: Duration,
    askers: impl Iterator<Item = &'s Span>,
) -> Result<Answers, StoreError> {
    let began = Instant::now();
    let span = span_for(askers, requests.len());
    let answers = Box::pin(guarded(store.apply(requests, patience)).instrument(span.clone())).await;
    let outcome = if answers.is_ok() { "committed" } else { "failed" };
    metrics::histogram!(DATABASE_TRANSACTION_DURATION, "outcome" => outcome).record(began.elapsed());
    #[expect(clippy::cast_precision_loss, reason = "a batch is small")]
    metrics::histogram!(DATABASE_TRANSACTION_REQUESTS).record(requests.len() as f64);
    span.record("outcome", outcome);
    if let Ok(answers) = &answers {
        money::count(answers);
    } else {
        span.record("otel.status_code", "ERROR");
    }
    answers
}

/// The span of a transaction belongs to the trace of the first who asked; the others are linked to it.
fn span_for<'s>(mut askers: impl Iterator<Item = &'s Span>, requests: usize) -> Span {
    let first = askers.next().and_then(Span::id);
    let span = tracing::info_span!(
        target: SPANS, parent: first, "transaction", otel.kind = "client", db.system.name = "postgresql",
        db.operation.batch.size = requests, outcome = Empty, otel.status_code = Empty,
    );
    if !span.is_disabled() {
        askers.for_each(|other| link_both(&span, other));
    }
    span
}

/// Nothing remains of a transaction that a panic has dropped.
async fn guarded(applying: impl Future<Output = Result<Answers, StoreError>>) -> Result<Answers, StoreError> {
    AssertUnwindSafe(applying).catch_unwind().await.unwrap_or(Err(StoreError::Panicked))
}

/// Whether the error may be gone when the requests go one by one: it is about one of them rather than about the database,
/// or about somebody who came in between.
fn may_work_alone(error: &StoreError, requests: usize) -> bool {
    match error {
        StoreError::Raced(_) => true,
        StoreError::Refused(_) | StoreError::Corrupt(_) | StoreError::UnknownBooking(_) | StoreError::Panicked => {
            requests > 1
        }
        StoreError::Unavailable(_) | StoreError::Migration(_) => false,
    }
}
