//! The traces of what the relay moves.

use schemas::headers::names::{FAILED_TRACEPARENT, TRACEPARENT};
use tracing::Span;
use tracing::field::Empty;

use super::head::Outgoing;
use crate::telemetry::{SPANS, continue_trace, link};

/// The span of a record's release: in the trace that its headers name, and linked to the try that had failed. The record
/// itself is not touched.
pub(super) fn release_span(tier: &str, target: &str, record: &Outgoing<'_>) -> Span {
    let span = tracing::info_span!(
        target: SPANS, "release", otel.kind = "producer", messaging.system = "kafka",
        messaging.destination.name = target, tier, due_at = %record.due_at, otel.status_code = Empty,
    );
    if !span.is_disabled() {
        continue_trace(&span, record.header(TRACEPARENT));
        link(&span, record.header(FAILED_TRACEPARENT).unwrap_or_default());
    }
    span
}
