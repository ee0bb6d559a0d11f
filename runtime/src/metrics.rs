//! Every metric: its name, what it says, its buckets. Named once, here.

mod catalogue;
mod names;
mod process;

use std::sync::OnceLock;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use self::catalogue::{ALL, Kind, Metric};
pub use self::names::*;
use self::process::Process;
use crate::health::{Health, Status};

/// The metrics of this process cannot be recorded.
#[derive(Clone, Debug, thiserror::Error)]
#[error("cannot install the metrics recorder: {0}")]
pub struct InstallError(String);

/// Installs the recorder of this process, once; later calls return the same handle.
pub fn install() -> Result<PrometheusHandle, InstallError> {
    static INSTALLED: OnceLock<Result<PrometheusHandle, InstallError>> = OnceLock::new();
    let install = || {
        let handle = builder().and_then(PrometheusBuilder::install_recorder);
        handle.inspect(|_| describe_all()).map_err(|error| InstallError(error.to_string()))
    };
    INSTALLED.get_or_init(install).clone()
}

/// Says in `build_info` what runs here.
pub fn tell_build(service: &'static str, version: &str) {
    metrics::gauge!(BUILD_INFO, "service" => service, "version" => version.to_owned()).set(1.0);
}

/// Brings up to date what is looked at when somebody asks, and renders everything.
pub(crate) fn render(handle: &PrometheusHandle, health: &Health, is_ready: bool) -> String {
    Process::collect();
    let flag = |up: bool| if up { 1.0 } else { 0.0 };
    metrics::gauge!(SERVICE_READY).set(flag(is_ready));
    for (name, check) in health.snapshot() {
        let up = !matches!(check.status, Status::Down { .. });
        metrics::gauge!(DEPENDENCY_UP, "dependency" => name).set(flag(up));
    }
    handle.render()
}

fn builder() -> Result<PrometheusBuilder, BuildError> {
    ALL.iter().try_fold(PrometheusBuilder::new(), |builder, metric| match metric.kind {
        Kind::Histogram(buckets) => builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), buckets),
        Kind::Counter | Kind::Gauge => Ok(builder),
    })
}

fn describe_all() {
    ALL.iter().for_each(Metric::describe);
    Process::describe();
}

#[cfg(test)]
mod tests;
