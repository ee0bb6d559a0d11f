//! The two spans of an event's handling: one for the collector, one whose fields are on every line of the log.

use runtime::kafka::Record;
use runtime::telemetry::{SPANS, continue_trace, link};
use schemas::headers::names::{EVENT_ID, FAILED_TRACEPARENT, TRACEPARENT};
use tracing::Span;
use tracing::field::Empty;

/// The spans of one try.
pub(crate) struct Spans {
    /// For the collector. Every try hangs under the delivery that brought the event, and is linked to the try before it.
    pub(crate) exported: Span,
    /// For the log.
    pub(crate) logged: Span,
}

impl Spans {
    /// Begins a try of `record`; `attempt` tells which.
    pub(crate) fn begin(record: &Record, attempt: u32) -> Self {
        let event_id = header(record, EVENT_ID);
        let exported = tracing::info_span!(
            target: SPANS, "event", otel.kind = "consumer", messaging.system = "kafka",
            messaging.operation.type = "process", messaging.destination.name = record.topic,
            messaging.destination.partition.id = record.partition, messaging.kafka.offset = record.offset, event_id,
            attempt, event_type = Empty, outcome = Empty, booking_id = Empty, otel.status_code = Empty,
        );
        let trace = continue_trace(&exported, Some(header(record, TRACEPARENT)));
        link(&exported, header(record, FAILED_TRACEPARENT));
        // At a level that no RUST_LOG takes away: its fields belong to every line.
        let logged = tracing::error_span!("event", event_id, trace_id = format_args!("{:032x}", trace.trace_id));
        Self { exported, logged }
    }

    /// Notes what became of the event.
    pub(crate) fn end(&self, event_type: &str, outcome: &str) {
        self.exported.record("event_type", event_type).record("outcome", outcome);
    }

    /// Notes that the try came to nothing.
    pub(crate) fn fail(&self) {
        self.exported.record("otel.status_code", "ERROR");
    }
}

/// A header as text, whoever wrote it; when a name repeats the last value counts.
fn header<'a>(record: &'a Record, wanted: &str) -> &'a str {
    let found = record.headers.iter().rev().find(|(name, _)| name == wanted);
    found.and_then(|(_, value)| str::from_utf8(value).ok()).unwrap_or_default()
}
