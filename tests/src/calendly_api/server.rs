//! The double's HTTP side.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State as Shared};
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::{Value, json};

use super::answer::Answer;
use super::requests::{Received, authenticated};
use super::state::State;
use super::{Fault, ORGANIZATION, USER};

const MAX_BODY: usize = 1 << 20;

pub(super) fn router(state: Arc<Mutex<State>>) -> Router {
    Router::new().fallback(api).with_state(state)
}

async fn api(Shared(state): Shared<Arc<Mutex<State>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, MAX_BODY).await.unwrap_or_default();
    let url = reqwest::Url::parse(&format!("http://double{}", parts.uri)).unwrap();
    let mut received = Received {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect(),
        body: serde_json::from_slice(&body).unwrap_or_default(),
        status: 0,
    };
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    let (fits, limits) = state.limit.as_mut().map_or((true, Vec::new()), super::state::Limit::count);
    let answer = if fits { answer(&mut state, &parts.headers, &received) } else { Some(Answer::of_status(429)) };
    received.status = answer.as_ref().map_or(200, |answer| answer.status);
    state.journal.push(received);
    match answer {
        Some(answer) => answer.into_response(&limits),
        None => Response::new(Body::from("<html>a proxy's page</html>")),
    }
}

/// None for what no JSON goes with.
fn answer(state: &mut State, headers: &HeaderMap, received: &Received) -> Option<Answer> {
    if !authenticated(headers) {
        return Some(Answer::of_status(401));
    }
    let hit = |(method, path, _): &(&str, &str, Fault)| received.method == *method && received.path.starts_with(path);
    let fault = state.faults.iter().position(hit).map(|index| state.faults.remove(index).2);
    match fault {
        Some(Fault::Status(status)) => return Some(Answer::of_status(status)),
        Some(Fault::NoJson) => return None,
        Some(Fault::Done | Fault::DoneBut(_)) | None => {}
    }
    let is_json = headers.get("content-type").is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    let done = if received.method == "POST" && !is_json {
        Err(Answer::error(415, "Unsupported Media Type", "Content-Type must be application/json"))
    } else {
        route(state, &received.method, &received.path, &received.query, &received.body)
    };
    match fault {
        Some(Fault::DoneBut(status)) => Some(Answer::of_status(status)),
        _ => Some(done.unwrap_or_else(|refused| refused)),
    }
}

fn route(
    state: &mut State,
    method: &str,
    path: &str,
    query: &BTreeMap<String, String>,
    body: &Value,
) -> Result<Answer, Answer> {
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match (method, segments.as_slice()) {
        ("GET", ["users", "me"]) => {
            let me = json!({ "uri": USER, "name": "John Doe", "current_organization": ORGANIZATION });
            Ok(Answer::new(200, json!({ "resource": me })))
        }
        ("GET", ["webhook_subscriptions"]) => state.list(query),
        ("POST", ["webhook_subscriptions"]) => state.create(body),
        ("GET", ["webhook_subscriptions", id]) => state.subscription(id),
        ("DELETE", ["webhook_subscriptions", id]) => state.delete(id),
        ("GET", ["scheduled_events"]) => state.events(query),
        ("GET", ["scheduled_events", id, "invitees"]) => state.invitees(id, query),
        _ => Err(Answer::not_found()),
    }
}
