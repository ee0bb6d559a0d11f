//! Logs to stderr, and traces to a collector when one is configured.

mod export;
mod json;
mod sampler;
mod trace;

use std::fmt;
use std::io::IsTerminal as _;
use std::str::FromStr;
use std::time::Duration;

use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{Dispatch, Level, Metadata, Subscriber};
use tracing_subscriber::Registry;
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, filter_fn};
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::layer::{Layer, Layered, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

use crate::env::{ConfigError, Env};

pub use trace::{SPANS, continue_trace, identity, link, link_both};

/// How long the last spans may take on their way to the collector.
const FLUSH_DEADLINE: Duration = Duration::from_secs(2);

/// Targets whose debug and trace lines may be shown. Libraries print header values and SQL parameters at those levels,
/// and no level of our log may show a secret or personal data.
const OURS: &[&str] =
    &["ingest", "processor", "retrier", "calctl", "bookings", "runtime", "schemas", "librdkafka", "panic"];

/// `LOG_FORMAT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    fn default_for(terminal: bool) -> Self {
        if terminal { Self::Text } else { Self::Json }
    }
}

impl FromStr for LogFormat {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("must be text or json"),
        }
    }
}

/// What [`init`] started and the end of the process has to finish.
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").field("exporting", &self.provider.is_some()).finish()
    }
}

impl Telemetry {
    /// Sends what is left to the collector.
    pub async fn finish(self) {
        let Some(provider) = self.provider else { return };
        // The shutdown blocks its thread while tasks of this runtime do the sending.
        let finished = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH_DEADLINE)).await;
        if !matches!(finished, Ok(Ok(()))) {
            tracing::warn!("the last spans were not delivered to the collector");
        }
    }
}

/// Starts logging as `LOG_FORMAT` and `RUST_LOG` say, and tracing as `OTEL_EXPORTER_OTLP_ENDPOINT` does. Logs nothing
/// itself. To be called within the async runtime.
pub fn init(service: &'static str, env: &Env) -> Result<Telemetry, ConfigError> {
    let terminal = std::io::stderr().is_terminal();
    let format = env.parse("LOG_FORMAT", LogFormat::default_for(terminal))?;
    let log = log_layer(format, terminal, std::io::stderr).with_filter(log_filter(env)?.and(filter_fn(may_show)));
    let exporter = export::from_env(env)?;
    let sampler = sampler::from_env(env)?;
    let provider = exporter.map(|exporter| export::provider(service, exporter, sampler));
    let traces = provider.as_ref().map(export::layer);
    // The only error is that a subscriber is there already, as in tests.
    let _ = tracing::dispatcher::set_global_default(subscriber(log, traces));
    std::panic::set_hook(Box::new(log_panic));
    Ok(Telemetry { provider })
}

/// Whether [`init`] would take these variables.
pub fn check(env: &Env) -> Result<(), ConfigError> {
    env.parse("LOG_FORMAT", LogFormat::Json)?;
    log_filter(env)?;
    export::endpoint(env)?;
    sampler::from_env(env)?;
    Ok(())
}

/// A layer that is `None` will not do where there are no traces: spans that nobody wants would be made all the same.
fn subscriber<L>(log: L, traces: Option<Box<dyn Layer<Layered<L, Registry>> + Send + Sync>>) -> Dispatch
where
    L: Layer<Registry> + Send + Sync,
{
    let logging = tracing_subscriber::registry().with(log);
    match traces {
        Some(traces) => Dispatch::new(logging.with(traces)),
        None => Dispatch::new(logging),
    }
}

fn log_filter(env: &Env) -> Result<EnvFilter, ConfigError> {
    let directives = env.optional("RUST_LOG")?.unwrap_or_else(|| "info".to_owned());
    EnvFilter::try_new(directives)
        .map_err(|error| ConfigError::new("RUST_LOG", format!("{error}; use a level or target=level,…")))
}

fn may_show(metadata: &Metadata<'_>) -> bool {
    metadata.target() != SPANS && (*metadata.level() <= Level::INFO || is_ours(metadata))
}

fn is_ours(metadata: &Metadata<'_>) -> bool {
    let crate_name = metadata.target().split("::").next().unwrap_or_default();
    OURS.contains(&crate_name)
}

/// Our own spans, and our log lines as events of them. Libraries have spans of their own to debug with, and the
/// exporter's requests would be traced too.
fn may_export(metadata: &Metadata<'_>) -> bool {
    metadata.target() == SPANS || (metadata.is_event() && *metadata.level() <= Level::INFO && is_ours(metadata))
}

fn log_layer<S, W>(format: LogFormat, terminal: bool, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'writer> tracing_subscriber::fmt::MakeWriter<'writer> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    match format {
        LogFormat::Text => layer.with_ansi(terminal).boxed(),
        LogFormat::Json => layer.fmt_fields(JsonFields::new()).event_format(json::Json).boxed(),
    }
}

/// A panic's message can quote the data that caused it, so only its place is logged.
fn log_panic(info: &std::panic::PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(target: "panic", place, "a bug: the code panicked");
}

#[cfg(test)]
#[path = "telemetry_tests.rs"]
mod tests;
