//! A Stripe that answers at once and remembers nothing: what is measured is the processor.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::post;
use tokio::net::TcpListener;

/// Requests so far, by kind.
#[derive(Debug, Default)]
pub struct Counts {
    /// Sessions opened.
    pub created: AtomicU64,
    /// Sessions expired.
    pub expired: AtomicU64,
}

/// Starts it on a free port; it runs until the runtime ends.
pub async fn start() -> (String, Arc<Counts>) {
    let counts = Arc::new(Counts::default());
    let router = Router::new()
        .route("/v1/checkout/sessions", post(create))
        .route("/v1/checkout/sessions/{id}/expire", post(expire))
        .with_state(counts.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("a bound socket has an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, counts)
}

fn session(id: &str, status: &str, url: &str) -> impl IntoResponse + use<> {
    let body = format!(
        r#"{{"id":"{id}","object":"checkout.session","created":1764000000,"status":"{status}","payment_status":"unpaid",
        "url":{url},"payment_intent":null,"amount_total":5000,"currency":"usd","metadata":{{}}}}"#
    );
    ([(CONTENT_TYPE, "application/json")], body)
}

async fn create(State(counts): State<Arc<Counts>>) -> impl IntoResponse {
    let number = counts.created.fetch_add(1, Ordering::Relaxed);
    session(&format!("cs_test_{number}"), "open", &format!(r#""https://checkout.example/c/{number}""#))
}

async fn expire(State(counts): State<Arc<Counts>>, Path(id): Path<String>) -> impl IntoResponse {
    counts.expired.fetch_add(1, Ordering::Relaxed);
    session(&id, "expired", "null")
}
