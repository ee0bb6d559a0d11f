use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::routing::post;
use opentelemetry::trace::TracerProvider as _;

use super::*;

fn env(pairs: &[(&str, &str)]) -> Env {
    Env::from_pairs(pairs.iter().copied())
}

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn logged(format: LogFormat, level: &str, log: impl FnOnce()) -> String {
    let captured = Captured::default();
    let writer = captured.clone();
    let filter = log_filter(&env(&[("RUST_LOG", level)])).unwrap().and(filter_fn(may_show));
    let layer = log_layer(format, false, move || writer.clone()).with_filter(filter);
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
    String::from_utf8(captured.0.lock().unwrap().clone()).unwrap()
}

#[test]
fn json_lines_have_their_fields_at_the_top() {
    let text = logged(LogFormat::Json, "info", || {
        let _in_span = tracing::info_span!("request", source = "calendly").entered();
        tracing::info!(status = 200, "answered");
    });
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&line["level"], &line["message"], &line["status"]), (&"INFO".into(), &"answered".into(), &200.into()));
    assert_eq!(line["source"], "calendly", "a span's fields are beside them");
}

#[test]
fn text_lines_escape_what_could_forge_a_line() {
    let text = logged(LogFormat::Text, "info", || tracing::info!(name = "a\nb\u{1b}[31m", "hello"));
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
}

#[test]
fn libraries_stay_quiet_below_info() {
    let log = || {
        tracing::trace!(target: "h2::codec", "authorization: Bearer secret");
        tracing::debug!(target: "librdkafka", "a broker went away");
        tracing::info!(target: "hyper", "hello");
    };
    let text = logged(LogFormat::Text, "trace", log);
    assert!(!text.contains("secret") && text.contains("a broker") && text.contains("hello"), "{text}");
    assert!(!logged(LogFormat::Text, "info", log).contains("a broker"));
}

#[test]
fn wrong_settings_name_their_variable() {
    assert_eq!(LogFormat::default_for(true), LogFormat::Text);
    assert_eq!(LogFormat::default_for(false), LogFormat::Json);
    let wrong = [("LOG_FORMAT", "xml"), ("RUST_LOG", "ingest=loud"), ("RUST_LOG", "a=b=c")];
    for (variable, value) in wrong {
        assert_eq!(init("test", &env(&[(variable, value)])).unwrap_err().variable(), variable, "{value}");
    }
}

#[test]
fn the_endpoint_is_an_http_url() {
    let read = |value| export::from_env(&env(&[("OTEL_EXPORTER_OTLP_ENDPOINT", value)]));
    assert!(read("").unwrap().is_none());
    for wrong in ["collector", "collector:4318", "ftp://collector", "http://", "://"] {
        assert_eq!(read(wrong).unwrap_err().variable(), "OTEL_EXPORTER_OTLP_ENDPOINT", "{wrong}");
    }
}

type Requests = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

async fn collector() -> (String, Requests) {
    let requests = Requests::default();
    let seen = requests.clone();
    let take = |headers: HeaderMap, body: Bytes| async move { seen.lock().unwrap().push((headers, body)) };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/", listener.local_addr().unwrap());
    let router = axum::Router::new().route("/v1/traces", post(take));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (base, requests)
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_reach_the_collector_by_the_end() {
    crate::entry::install_crypto();
    let (base, requests) = collector().await;
    let exporter = export::from_env(&env(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &base)])).unwrap().unwrap();
    let provider = export::provider("ingest", exporter, opentelemetry_sdk::trace::Sampler::AlwaysOn);
    tracing::subscriber::with_default(tracing_subscriber::registry().with(export::layer(&provider)), || {
        let _in_span = tracing::info_span!(target: SPANS, "webhook", source = "calendly").entered();
    });
    Telemetry { provider: Some(provider) }.finish().await;

    let requests = requests.lock().unwrap();
    let (headers, body) = requests.first().unwrap();
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let body = String::from_utf8_lossy(body);
    assert!(body.contains("service.name") && body.contains("ingest") && body.contains("webhook"), "{body}");
}

const INCOMING: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn assert_continues(traceparent: &str) {
    assert!(traceparent.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"), "{traceparent}");
    assert_ne!(traceparent, INCOMING);
}

#[test]
fn spans_for_the_collector_are_disabled_while_there_is_none() {
    let disabled = |traces| {
        let filter = log_filter(&env(&[])).unwrap().and(filter_fn(may_show));
        let log = log_layer(LogFormat::Json, false, io::sink).with_filter(filter);
        tracing::dispatcher::with_default(&subscriber(log, traces), || {
            tracing::info_span!(target: SPANS, "webhook").is_disabled()
        })
    };
    let provider = opentelemetry_sdk::trace::SdkTracerProvider::builder().build();
    assert!(disabled(None));
    assert!(!disabled(Some(export::layer(&provider))));
}

#[test]
fn a_trace_goes_on_without_an_exporter() {
    let span = tracing::Span::none();
    assert_continues(&continue_trace(&span, Some(INCOMING)).to_string());
    let (first, second) = (continue_trace(&span, None), continue_trace(&span, Some("00-nonsense")));
    assert_ne!(first.trace_id, second.trace_id);
}

#[test]
fn a_trace_goes_on_with_the_exported_span() {
    let provider = opentelemetry_sdk::trace::SdkTracerProvider::builder().build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
        let span = tracing::info_span!("webhook");
        let handed_on = continue_trace(&span, Some(INCOMING));
        assert_continues(&handed_on.to_string());
        // What is handed on is the span's own identity, so that what follows hangs below it.
        assert_eq!(continue_trace(&span, None), handed_on);
    });
}

#[test]
fn spans_for_the_collector_are_not_shown_and_lead_nowhere_without_one() {
    // In a service they are disabled outright; here another test's subscriber may be alive, and then none is.
    let text = logged(LogFormat::Json, "trace", || {
        let span = tracing::info_span!(target: SPANS, "publish", topic = "t");
        assert!(identity(&span).is_none());
        let _entered = span.entered();
    });
    assert_eq!(text, "");
}

#[test]
fn what_is_said_closer_to_the_event_counts() {
    let text = logged(LogFormat::Json, "info", || {
        let _outer = tracing::info_span!("outer", event_id = "e", attempt = 1).entered();
        let _inner = tracing::info_span!("inner", attempt = 2).entered();
        tracing::info!(outcome = "applied", "event finished");
    });
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&line["event_id"], &line["attempt"]), (&"e".into(), &2.into()));
    assert_eq!(text.matches("attempt").count(), 1, "{text}");
}
