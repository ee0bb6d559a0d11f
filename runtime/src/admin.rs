//! The operators' HTTP server: `/healthz`, `/readyz`, `/metrics`, on an address of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::env::{ConfigError, Env};
use crate::health::{Check, Health};
use crate::listen::{ListenAddr, listen};
use crate::shutdown::Shutdown;

/// How often the recorder folds buffered histogram samples, which would otherwise pile up between two scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

#[derive(Clone)]
struct Context {
    health: Health,
    metrics: PrometheusHandle,
    shutdown: Shutdown,
}

impl Context {
    fn is_ready(&self) -> bool {
        !self.shutdown.is_cancelled() && self.health.is_ready()
    }
}

/// The running server; it stops when this is dropped, so that a drain can still be watched.
#[derive(Debug)]
pub struct AdminServer {
    local_addr: SocketAddr,
    // Aborts its tasks when dropped.
    _tasks: JoinSet<()>,
}

impl AdminServer {
    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }
}

/// The admin server of a service, configured but not started.
#[derive(Clone, Debug)]
pub struct Admin {
    addr: ListenAddr,
}

impl Admin {
    /// Reads `ADMIN_ADDR`.
    pub fn from_env(env: &Env, default: &'static str) -> Result<Self, ConfigError> {
        Ok(Self { addr: ListenAddr::from_env(env, "ADMIN_ADDR", default)? })
    }

    /// Installs the metrics recorder and serves.
    pub async fn start(&self, health: Health, shutdown: &Shutdown) -> anyhow::Result<AdminServer> {
        let metrics = crate::metrics::install()?;
        let listener = listen("ADMIN_ADDR", &self.addr).await?;
        Ok(serve(listener, health, metrics, shutdown.clone())?)
    }
}

/// Serves on `listener`, which [`crate::listen::listen`] makes from `ADMIN_ADDR`. Once `shutdown` is raised, the
/// service is not ready any more.
pub fn serve(
    listener: TcpListener,
    health: Health,
    metrics: PrometheusHandle,
    shutdown: Shutdown,
) -> std::io::Result<AdminServer> {
    let local_addr = listener.local_addr()?;
    let mut tasks = JoinSet::new();
    tasks.spawn(upkeep(metrics.clone()));
    let router = router(Context { health, metrics, shutdown });
    tasks.spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the admin server stopped");
        }
    });
    Ok(AdminServer { local_addr, _tasks: tasks })
}

async fn upkeep(metrics: PrometheusHandle) {
    loop {
        tokio::time::sleep(UPKEEP).await;
        metrics.run_upkeep();
    }
}

fn router(context: Context) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(render_metrics))
        .with_state(context)
}

async fn healthz() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], r#"{"status":"ok"}"#).into_response()
}

#[derive(Serialize)]
struct Readiness {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'static str>,
    checks: BTreeMap<&'static str, Check>,
}

async fn readyz(State(context): State<Context>) -> Response {
    let (draining, ready) = (context.shutdown.is_cancelled(), context.is_ready());
    let checks = context.health.snapshot();
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let status = if ready { "ready" } else { "not_ready" };
    (code, Json(Readiness { status, detail: draining.then_some("shutting down"), checks })).into_response()
}

async fn render_metrics(State(context): State<Context>) -> Response {
    let body = crate::metrics::render(&context.metrics, &context.health, context.is_ready());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], body).into_response()
}

#[cfg(test)]
#[path = "admin_tests.rs"]
mod tests;
