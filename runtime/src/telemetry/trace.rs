//! Joins our spans to the trace that a request or a record belongs to.
//!
//! There are two kinds of spans. Those with the target [`SPANS`] go to the collector and are never part of a log line;
//! while nothing is exported they are disabled, and cost a flag's check. All others are for the log alone.

use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState};
use schemas::trace::TraceParent;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The target of spans that are exported.
pub const SPANS: &str = "spans";

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
    identity(span).unwrap_or_else(|| match parent {
        Some(parent) => parent.child(random_span_id()),
        None => TraceParent::new(rand::random_range(1..=u128::MAX), random_span_id()),
    })
}

/// The identity of `span` as the collector will know it; `None` while no spans are exported.
pub fn identity(span: &Span) -> Option<TraceParent> {
    if span.is_disabled() {
        return None;
    }
    let context = span.context();
    let span = context.span();
    let span_context = span.span_context();
    span_context.is_valid().then_some(TraceParent {
        trace_id: u128::from_be_bytes(span_context.trace_id().to_bytes()),
        span_id: u64::from_be_bytes(span_context.span_id().to_bytes()),
        flags: span_context.trace_flags().to_u8(),
    })
}

/// Links `span` to the one that `to` names, a `traceparent`. Anything else is no link.
pub fn link(span: &Span, to: &str) {
    if let Ok(to) = TraceParent::parse(to.trim()) {
        span.add_link(to_span_context(&to));
    }
}

/// Links two spans to each other, as when one thing is done for several traces.
pub fn link_both(one: &Span, other: &Span) {
    if let (Some(first), Some(second)) = (identity(one), identity(other)) {
        one.add_link(to_span_context(&second));
        other.add_link(to_span_context(&first));
    }
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
