//! Publishes what was not delivered.

use std::time::Duration;

use calendly::{Backfill, Calendly, CalendlyError, Gap, Looked, Missed, Subject};
use jiff::Timestamp;
use runtime::metrics::CALENDLY_BACKFILLED_EVENTS;
use runtime::telemetry::{SPANS, continue_trace};
use tracing::Instrument as _;
use tracing::field::Empty;

use crate::publish::{PublishError, Publisher};

/// After an error that may pass; doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// After the one that follows this, the next look begins anew.
const LAST_PAUSE: Duration = Duration::from_secs(8);

/// Why a gap is still open.
#[derive(Debug, thiserror::Error)]
pub(super) enum FillError {
    /// Calendly does not tell.
    #[error(transparent)]
    Calendly(#[from] CalendlyError),
    /// It lists meetings, and of none of them who booked.
    #[error("Calendly does not let this token see who booked any of {0} meetings")]
    Hidden(u64),
    /// What it told is not durable.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

/// What was done.
#[derive(Debug)]
pub(super) struct Filled {
    pub(super) looked: Looked,
    /// Events that were published.
    pub(super) events: u64,
}

/// Publishes what happened in a gap, the durable way that deliveries take. Done again after a failure, it publishes again
/// what it had published, which has the same ids.
pub(super) async fn fill(
    client: &Calendly,
    subject: &Subject,
    gap: Gap,
    publisher: &Publisher,
) -> Result<Filled, FillError> {
    let mut backfill = Backfill::new(client, subject, gap);
    let mut events = 0;
    let mut pause = FIRST_PAUSE;
    loop {
        let missed = match backfill.next().await {
            Ok(Some(missed)) => missed,
            Ok(None) => break,
            // It goes on where it was: a large gap takes longer than Calendly is well without a break.
            Err(error) if error.may_pass() && pause <= LAST_PAUSE => {
                tokio::time::sleep(pause).await;
                pause *= 2;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        pause = FIRST_PAUSE;
        for one in &missed {
            publish(publisher, one).await?;
            metrics::counter!(CALENDLY_BACKFILLED_EVENTS, "event_type" => one.event_type()).increment(1);
            events += 1;
        }
    }
    let looked = backfill.looked();
    // One that is hidden must not keep the others back; when all are, nothing was fetched.
    if looked.asked > 0 && looked.refused == looked.asked {
        return Err(FillError::Hidden(looked.asked));
    }
    Ok(Filled { looked, events })
}

async fn publish(publisher: &Publisher, missed: &Missed) -> Result<(), PublishError> {
    let span =
        tracing::info_span!(target: SPANS, "backfill", otel.kind = "producer", event_id = Empty, event_type = Empty);
    let traceparent = continue_trace(&span, None).to_string();
    publisher.missed(missed, Timestamp::now(), traceparent).instrument(span).await.map(drop)
}
