//! The one way to the bookings: requests that come in at the same time share a transaction.
//!
//! A worker takes whatever is waiting, up to a limit, and waits for nothing more: at rest a request goes alone and at
//! once, under load the batches grow by themselves. A batch that fails is taken apart, so that one bad request, or one
//! booking that somebody has locked, fails by itself. That happens beside the workers and leaves connections for them:
//! however many bookings are locked, the others go on. A panic is such a failure too: a worker must outlive it, since
//! nobody can be told anything without workers.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bookings::store::{Answers, Applied, Request, Store, StoreError};
use futures_util::FutureExt;
use tokio::sync::{Mutex, Semaphore, mpsc, oneshot};

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
        self.queue.send(Job { request, reply }).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

async fn work(store: Store, waiting: Arc<Mutex<mpsc::Receiver<Job>>>, permits: Arc<Semaphore>) {
    let mut jobs = Vec::with_capacity(MAX_BATCH);
    while waiting.lock().await.recv_many(&mut jobs, MAX_BATCH).await > 0 {
        let (requests, replies): (Vec<Request>, Vec<_>) =
            jobs.drain(..).map(|Job { request, reply }| (request, reply)).unzip();
        let answers = match Box::pin(guarded(store.apply(&requests, BATCH_PATIENCE))).await {
            Ok(answers) => answers,
            Err(error) if may_work_alone(&error, requests.len()) => {
                tracing::debug!(%error, requests = requests.len(), "a batch failed; its requests go one by one");
                for (request, reply) in requests.into_iter().zip(replies) {
                    tokio::spawn(alone(store.clone(), permits.clone(), Job { request, reply }));
                }
                continue;
            }
            Err(error) => vec![Err(error); requests.len()],
        };
        for (reply, answer) in replies.into_iter().zip(answers) {
            // Whoever asked may be gone: the service is stopping.
            let _ = reply.send(answer);
        }
    }
}

async fn alone(store: Store, permits: Arc<Semaphore>, Job { request, reply }: Job) {
    // Never closed.
    let _permit = permits.acquire().await;
    let unanswered = || StoreError::Raced("a request was left without an answer".to_owned());
    let answers = Box::pin(guarded(store.apply(std::slice::from_ref(&request), PATIENCE))).await;
    let _ = reply.send(answers.and_then(|mut answers| answers.pop().unwrap_or_else(|| Err(unanswered()))));
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
