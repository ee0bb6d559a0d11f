//! The double's HTTP side: reads a request, lets the faults have their way with it, answers.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State as Shared};
use axum::http::{HeaderMap, header::CONTENT_TYPE};
use axum::response::Response;

use super::auth;
use super::conn::Conn;
use super::control;
use super::endpoint::Endpoint;
use super::error::{Answer, Refusal};
use super::faults::Fault;
use super::journal::Received;
use super::params::Params;
use super::state::{Begin, Call, Inner};

const MAX_BODY: usize = 1 << 20;

pub(super) fn router(inner: Arc<Inner>) -> Router {
    control::routes().fallback(api).with_state(inner)
}

/// How a request ends.
enum Outcome {
    Answer(Answer),
    Cut,
}

async fn api(Shared(inner): Shared<Arc<Inner>>, ConnectInfo(conn): ConnectInfo<Conn>, request: Request) -> Response {
    let id = inner.next_request_id();
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, MAX_BODY).await.unwrap_or_default();
    let raw = if parts.method == "GET" {
        parts.uri.query().unwrap_or_default().to_owned()
    } else {
        String::from_utf8_lossy(&body).into_owned()
    };
    let (method, path) = (parts.method.as_str(), parts.uri.path());
    let mut entry = received(&id, method, path, &parts.headers);
    let admitted = admit(&inner, &mut entry, &parts.headers, &raw);
    inner.lock().journal.push(entry);
    let outcome = match admitted {
        Ok(call) => process(&inner, call).await,
        Err(refusal) => Outcome::Answer(refusal.into_answer()),
    };
    finish(&inner, &id, &conn, outcome)
}

fn received(id: &str, method: &str, path: &str, headers: &HeaderMap) -> Received {
    Received {
        id: id.to_owned(),
        method: method.to_owned(),
        path: path.to_owned(),
        endpoint: Endpoint::route(method, path).map(|(endpoint, _)| endpoint),
        params: Params::default(),
        idempotency_key: auth::header(headers, "idempotency-key").map(str::to_owned),
        status: None,
        executed: false,
        replayed: false,
        fault: None,
    }
}

/// Everything that is checked before parameters and idempotency keys are looked at.
fn admit(inner: &Inner, entry: &mut Received, headers: &HeaderMap, raw: &str) -> Result<Call, Refusal> {
    let parsed = Params::parse(raw);
    if let Ok(params) = &parsed {
        entry.params = params.clone();
    }
    if inner.lock().is_over_rate() {
        return Err(Fault::refusal(429, None));
    }
    auth::check(headers, &inner.options.secret_key)?;
    let Some((endpoint, id)) = Endpoint::route(&entry.method, &entry.path) else {
        let message = format!("Unrecognized request URL ({}: {}).", entry.method, entry.path);
        return Err(Refusal::new(404, "invalid_request_error", message));
    };
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if endpoint.is_write() && !raw.is_empty() && !content_type.starts_with("application/x-www-form-urlencoded") {
        let message = "Invalid request (check that your POST content type is application/x-www-form-urlencoded).";
        return Err(Refusal::invalid(message));
    }
    Ok(Call {
        request: entry.id.clone(),
        endpoint,
        path: entry.path.clone(),
        id,
        params: parsed?,
        key: entry.idempotency_key.clone().filter(|_| endpoint.is_write()),
    })
}

async fn process(inner: &Arc<Inner>, call: Call) -> Outcome {
    let fault = inner.lock().take_fault(&call);
    match &fault {
        Some(Fault::DropBefore) => return Outcome::Cut,
        Some(Fault::Delay { millis }) => tokio::time::sleep(Duration::from_millis(*millis)).await,
        Some(status @ Fault::Status { .. }) => return status.answer().map_or(Outcome::Cut, Outcome::Answer),
        _ => {}
    }
    if fault == Some(Fault::PayFirst) {
        // A session that cannot be paid any more stays as it is.
        let _ = inner.with(|store| store.complete(&call.id, true));
    }
    let begun = inner.lock().begin(&call);
    let answer = match begun {
        Begin::Refuse(answer) => return Outcome::Answer(answer),
        Begin::Replay(answer) => answer,
        Begin::Run => {
            // A task of its own: Stripe finishes what it began though the client hang up.
            let (inner, fault) = (Arc::clone(inner), fault.clone());
            let run = tokio::spawn(async move {
                if fault == Some(Fault::HangThenExecute) && !inner.hang().await {
                    return None;
                }
                Some(inner.execute(&call, fault.as_ref()))
            });
            let Ok(Some(answer)) = run.await else { return Outcome::Cut };
            answer
        }
    };
    match fault {
        Some(Fault::ExecuteThenDrop) => Outcome::Cut,
        Some(Fault::ExecuteThenHang) if !inner.hang().await => Outcome::Cut,
        _ => Outcome::Answer(answer),
    }
}

fn finish(inner: &Inner, id: &str, conn: &Conn, outcome: Outcome) -> Response {
    let Outcome::Answer(answer) = outcome else {
        conn.cut();
        return Response::new(Body::empty());
    };
    let mut response = Response::builder().status(answer.status);
    response = response.header(CONTENT_TYPE, "application/json").header("Request-Id", id);
    let mut replayed = false;
    for (name, value) in &answer.headers {
        replayed |= *name == "Idempotent-Replayed";
        response = response.header(*name, value);
    }
    if let Some(entry) = inner.lock().entry(id) {
        entry.status = Some(answer.status);
        entry.replayed = replayed;
    }
    response.body(Body::from(answer.body)).unwrap()
}
