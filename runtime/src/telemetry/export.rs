//! Sends spans to a collector over OTLP/HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{Protocol, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, SpanData, SpanExporter};
use tracing::Subscriber;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

use crate::env::{ConfigError, Env};

const VARIABLE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TIMEOUT: Duration = Duration::from_secs(5);

/// Where spans go, if anywhere.
pub(super) fn endpoint(env: &Env) -> Result<Option<String>, ConfigError> {
    let Some(base) = env.optional(VARIABLE)? else { return Ok(None) };
    let wrong = || ConfigError::new(VARIABLE, "must be a URL such as http://127.0.0.1:4318");
    let url = reqwest::Url::parse(base.trim()).map_err(|_| wrong())?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(wrong());
    }
    Ok(Some(format!("{}/v1/traces", base.trim().trim_end_matches('/'))))
}

/// The exporter that the environment asks for, if it does.
pub(super) fn from_env(env: &Env) -> Result<Option<OnRuntime>, ConfigError> {
    let Some(endpoint) = endpoint(env)? else { return Ok(None) };
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(endpoint)
        .with_timeout(TIMEOUT)
        .build()
        .map_err(|error| ConfigError::new(VARIABLE, error.to_string()))?;
    Ok(Some(OnRuntime::new(exporter)))
}

pub(super) fn provider(service: &'static str, exporter: OnRuntime, sampler: Sampler) -> SdkTracerProvider {
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let resource = Resource::builder().with_service_name(service).with_attribute(version).build();
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource);
    provider.with_sampler(sampler).build()
}

pub(super) fn layer<S>(provider: &SdkTracerProvider) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    let tracer = provider.tracer("calendly-pipeline");
    let layer = tracing_opentelemetry::layer().with_tracer(tracer);
    // Neither threads nor lines of code say anything about an event.
    let layer = layer.with_threads(false).with_location(false).with_target(false).with_tracked_inactivity(false);
    layer.with_filter(filter_fn(super::may_export)).boxed()
}

/// Does the exporting on the async runtime: the SDK calls exporters from a thread of its own, where the HTTP client
/// could not work.
#[derive(Debug)]
pub(super) struct OnRuntime {
    exporter: Arc<opentelemetry_otlp::SpanExporter>,
    runtime: tokio::runtime::Handle,
    failing: AtomicBool,
}

impl OnRuntime {
    fn new(exporter: opentelemetry_otlp::SpanExporter) -> Self {
        Self {
            exporter: Arc::new(exporter),
            runtime: tokio::runtime::Handle::current(),
            failing: AtomicBool::new(false),
        }
    }

    /// Logs the first failure of a row, and its end.
    fn note(&self, result: &OTelSdkResult) {
        let failing = result.is_err();
        let was_failing = self.failing.swap(failing, Ordering::Relaxed);
        if let (Err(error), false) = (result, was_failing) {
            tracing::warn!(%error, "spans cannot be delivered to the collector; check {VARIABLE}");
        } else if was_failing && !failing {
            tracing::info!("spans reach the collector again");
        }
    }
}

impl SpanExporter for OnRuntime {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let exporter = self.exporter.clone();
        let task = self.runtime.spawn(async move { exporter.export(batch).await });
        let result = task.await.unwrap_or_else(|error| Err(OTelSdkError::InternalFailure(error.to_string())));
        self.note(&result);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        // Called while the provider is built, when nothing else holds the exporter.
        if let Some(exporter) = Arc::get_mut(&mut self.exporter) {
            exporter.set_resource(resource);
        }
    }
}
