//! A Stripe that answers at once and remembers nothing: what is measured is the processor.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::post;
use tokio::net::TcpListener;

/// Starts it on a free port; it runs until the runtime ends.
pub(super) async fn start() -> String {
    let opened = Arc::new(AtomicU64::new(0));
    let router = Router::new()
        .route("/v1/checkout/sessions", post(create))
        .route("/v1/checkout/sessions/{id}/expire", post(expire))
        .with_state(opened);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("a bound socket has an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

fn session(id: &str, status: &str, url: &str) -> impl IntoResponse + use<> {
    let body = format!(
        r#"{{"id":"{id}","object":"checkout.session","created":1764000000,"status":"{status}","payment_status":"unpaid",
        "url":{url},"payment_intent":null,"amount_total":5000,"currency":"usd","metadata":{{}}}}"#
    );
    ([(CONTENT_TYPE, "application/json")], body)
}

async fn create(State(opened): State<Arc<AtomicU64>>) -> impl IntoResponse {
    let number = opened.fetch_add(1, Ordering::Relaxed);
    session(&format!("cs_test_{number}"), "open", &format!(r#""https://checkout.example/c/{number}""#))
}

async fn expire(Path(id): Path<String>) -> impl IntoResponse {
    session(&id, "expired", "null")
}
