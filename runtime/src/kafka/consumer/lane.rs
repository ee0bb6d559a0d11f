//! Running a lane: one record of a key after the other.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;

use futures_util::FutureExt as _;
use tokio::sync::SemaphorePermit;

use super::flow::{Flow, Lane, Work};
use super::{Completion, Handler};
use crate::kafka::record::Record;

impl Flow {
    /// Runs a lane until nothing waits in it.
    pub(super) async fn run_lane<H: Handler>(&self, lane: Lane, handler: &H) {
        let mut next = Some(lane.first);
        while let Some(Work { record, epoch }) = next {
            let (offset, weight) = (record.offset, record.weight());
            let outcome = self.run(record, epoch, handler).await;
            if matches!(outcome, Some(Completion::Abandoned)) {
                // Whatever comes after it would overtake it.
                self.abandoned.store(true, Ordering::Relaxed);
                self.stop();
            }
            next = self.end(lane.key, epoch, offset, weight, outcome.as_ref());
        }
    }

    /// Runs a record until it is done, or until it may not begin any more.
    async fn run<H: Handler>(&self, mut record: Record, epoch: u64, handler: &H) -> Option<Completion> {
        loop {
            let _permit = self.admitted(handler, epoch).await?;
            match self.caught(handler.handle(record)).await.unwrap_or(Completion::Abandoned) {
                Completion::Again(same) => {
                    self.put_back(epoch);
                    record = *same;
                }
                outcome @ (Completion::Done | Completion::Abandoned) => return Some(outcome),
            }
        }
    }

    /// Waits for a permit and for the handler's leave, then begins. `None` when the record must not begin any more: the
    /// wait may be hours long, and neither a rebalance nor a shutdown waits for it.
    async fn admitted<H: Handler>(&self, handler: &H, epoch: u64) -> Option<SemaphorePermit<'_>> {
        let leave = async {
            let permit = self.permits.acquire().await.ok()?;
            handler.admit().await;
            Some(permit)
        };
        let permit = tokio::select! {
            // Who is admitted begins in the same breath: a breaker that lets one through waits for that one.
            biased;
            admitted = self.caught(leave) => admitted.flatten(),
            () = self.withdrawal(epoch) => None,
        };
        permit.filter(|_| self.begin(epoch))
    }

    /// `None` when the handler's code panicked, which ends the consumer.
    async fn caught<T>(&self, code: impl Future<Output = T>) -> Option<T> {
        let result = AssertUnwindSafe(code).catch_unwind().await;
        if result.is_err() {
            self.panicked.store(true, Ordering::Relaxed);
        }
        result.ok()
    }
}
