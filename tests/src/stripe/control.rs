//! The test controls over HTTP, for the stand-alone double, and the page that a session's URL leads to.
//!
//! `GET /_double/state` shows everything. `POST /_double/<action>` takes JSON and answers with JSON:
//!
//! | action | arguments |
//! |---|---|
//! | `pay`, `pay_async` | `session`, or `booking` for its newest session |
//! | `settle_async` | `session` or `booking`, `ok` |
//! | `refund_mode` | `mode`: `instant` or `pending` |
//! | `settle_refund` | `refund`, `status`: `succeeded`, `failed` or `canceled` |
//! | `dashboard_refund` | `payment_intent`, `amount` |
//! | `early_charge_refunded` | `early` |
//! | `inject` | `endpoint`, `fault` (with `kind`), `times` (null for ever), `params` |
//! | `clear`, `release`, `forget_keys` | |
//! | `advance` | `seconds` |
//! | `rate` | `requests_per_second`, or null |
//! | `webhooks` | `url` or null, `secret` |
//! | `duplicates`, `shuffle` | `extra`; `seed` |

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State as Shared};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::delivery::Target;
use super::faults::Injection;
use super::model::{RefundStatus, Session, SessionStatus};
use super::money::ControlError;
use super::state::Inner;
use super::store::{RefundMode, Store};
use super::summary;

pub(super) fn routes() -> Router<Arc<Inner>> {
    Router::new()
        .route("/_double/state", get(state))
        .route("/_double/{action}", post(act))
        .route("/c/pay/{session}", get(page).post(pay))
}

async fn state(Shared(inner): Shared<Arc<Inner>>) -> Json<Value> {
    let requests = json!(inner.lock().journal);
    Json(inner.with(|store| {
        json!({
            "sessions": store.sessions.rows(),
            "payment_intents": store.intents.rows(),
            "refunds": store.refunds.rows(),
            "events": store.outbox.all,
            "webhooks_waiting": store.outbox.waiting(),
            "summary": summary::summary(store),
            "requests": requests,
        })
    }))
}

async fn act(Shared(inner): Shared<Arc<Inner>>, Path(action): Path<String>, body: String) -> Response {
    let args: Result<Value, _> = if body.is_empty() { Ok(json!({})) } else { serde_json::from_str(&body) };
    let result = args.map_err(|error| ControlError(error.to_string())).and_then(|args| run(&inner, &action, &args));
    match result {
        Ok(value) => Json(value).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, Json(json!({ "error": error.to_string() }))).into_response(),
    }
}

fn run(inner: &Inner, action: &str, args: &Value) -> Result<Value, ControlError> {
    match action {
        "inject" => inner.lock().faults.push(read::<Injection>(args)?),
        "clear" => inner.lock().faults.clear(None),
        "release" => inner.release.send_modify(|generation| *generation += 1),
        "forget_keys" => inner.lock().keys.forget(),
        "rate" => inner.lock().requests_per_second = read(&args["requests_per_second"])?,
        "webhooks" => {
            let secret = args["secret"].as_str().unwrap_or(&inner.options.webhook_secret).to_owned();
            inner.lock().target = args["url"].as_str().map(|url| Target { url: url.to_owned(), secret });
            inner.wake.notify_one();
        }
        _ => return inner.with(|store| money(store, action, args)),
    }
    Ok(json!({}))
}

fn money(store: &mut Store, action: &str, args: &Value) -> Result<Value, ControlError> {
    match action {
        "pay" | "pay_async" => {
            let session = session(store, args)?;
            let intent = store.complete(&session, action == "pay")?;
            return Ok(json!({ "session": session, "payment_intent": intent }));
        }
        "settle_async" => {
            let session = session(store, args)?;
            store.settle_payment(&session, read(&args["ok"])?)?;
        }
        "settle_refund" => store.settle_refund(&text(args, "refund")?, read::<RefundStatus>(&args["status"])?)?,
        "dashboard_refund" => {
            let refund = store.dashboard_refund(&text(args, "payment_intent")?, read(&args["amount"])?)?;
            return Ok(json!({ "refund": refund }));
        }
        "refund_mode" => store.refund_mode = read::<RefundMode>(&args["mode"])?,
        "early_charge_refunded" => store.early_charge_refunded = read(&args["early"])?,
        "advance" => store.advance(Duration::from_secs(read(&args["seconds"])?)),
        "duplicates" => store.outbox.duplicates = read(&args["extra"])?,
        "shuffle" => store.outbox.shuffle_seed(read(&args["seed"])?),
        other => return Err(ControlError(format!("no control {other}"))),
    }
    Ok(json!({}))
}

fn read<T: serde::de::DeserializeOwned>(value: &Value) -> Result<T, ControlError> {
    T::deserialize(value).map_err(|error| ControlError(error.to_string()))
}

fn text(args: &Value, name: &str) -> Result<String, ControlError> {
    args[name].as_str().map(str::to_owned).ok_or_else(|| ControlError(format!("{name} is missing")))
}

/// `{"session": …}`, or the newest session of `{"booking": …}`.
fn session(store: &Store, args: &Value) -> Result<String, ControlError> {
    let Some(booking) = args["booking"].as_str() else { return text(args, "session") };
    let newest = store.sessions.rows().iter().rev().find(|session| session.booking() == Some(booking));
    newest.map(|session| session.id.clone()).ok_or_else(|| ControlError(format!("no session of {booking}")))
}

async fn page(Shared(inner): Shared<Arc<Inner>>, Path(id): Path<String>) -> Response {
    match inner.with(|store| store.sessions.get(&id).cloned()) {
        Some(session) => Html(html(&session)).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn pay(Shared(inner): Shared<Arc<Inner>>, Path(id): Path<String>) -> Response {
    let paid = inner.with(|store| store.complete(&id, true));
    match paid {
        Ok(_) => Html("<p>Paid.</p>".to_owned()).into_response(),
        Err(error) => (StatusCode::CONFLICT, error.to_string()).into_response(),
    }
}

fn html(session: &Session) -> String {
    let product = session.product.replace('&', "&amp;").replace('<', "&lt;");
    let (amount, currency) = (session.amount, &session.currency);
    let action = match session.status {
        SessionStatus::Open => "<form method=post><button>Pay</button></form>",
        SessionStatus::Complete => "<p>Already paid.</p>",
        SessionStatus::Expired => "<p>This page has expired.</p>",
    };
    format!("<!doctype html><title>Checkout</title><h1>{product}</h1><p>{amount} {currency} (minor units)</p>{action}")
}
