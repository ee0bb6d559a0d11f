//! Joins our spans to the trace that a request or a record belongs to.

use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState};
use schemas::trace::TraceParent;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Makes `span` a part of the trace that `incoming` names, a `traceparent`, or of a new one when that is missing or
/// invalid. Returns the `traceparent` to hand on.
///
/// It is a valid one also while no spans are exported, so that a trace is not cut where a service exports none.
pub fn continue_trace(span: &Span, incoming: Option<&str>) -> TraceParent {
    let parent = incoming.and_then(|text| TraceParent::parse(text.trim()).ok());
    if let Some(parent) = &parent {
        // An error means that nothing is exported, or that the span was entered before.
        let _ = span.set_parent(opentelemetry::Context::new().with_remote_span_context(to_span_context(parent)));
    }
    exported(span).unwrap_or_else(|| match parent {
        Some(parent) => parent.child(random_span_id()),
        None => TraceParent::new(rand::random_range(1..=u128::MAX), random_span_id()),
    })
}

/// The identity of `span` as the collector will know it, when spans are exported.
fn exported(span: &Span) -> Option<TraceParent> {
    let context = span.context();
    let span = context.span();
    let span_context = span.span_context();
    span_context.is_valid().then_some(TraceParent {
        trace_id: u128::from_be_bytes(span_context.trace_id().to_bytes()),
        span_id: u64::from_be_bytes(span_context.span_id().to_bytes()),
        flags: span_context.trace_flags().to_u8(),
    })
}

fn to_span_context(parent: &TraceParent) -> SpanContext {
    SpanContext::new(
        TraceId::from_bytes(parent.trace_id.to_be_bytes()),
        SpanId::from_bytes(parent.span_id.to_be_bytes()),
        TraceFlags::new(parent.flags),
        true,
        TraceState::NONE,
    )
}

fn random_span_id() -> u64 {
    rand::random_range(1..=u64::MAX)
}
