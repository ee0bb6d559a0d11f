//! The client: pinned version, timeouts, idempotency keys, a rate limit, and answers sorted into [`StripeError`].

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use jiff::Timestamp;
use metrics::Histogram;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, RequestBuilder, StatusCode, Url};
use runtime::metrics as names;
use runtime::telemetry::{self, SPANS};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use super::error::StripeError;
use super::objects::{CheckoutSession, ErrorBody, Page, PaymentIntent, Refund};
use crate::config::StripeConfig;

/// The version whose parameters and answers this code knows.
pub const STRIPE_VERSION: &str = "2026-08-26.dahlia";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// From the request to the last byte of the answer. An operation's lease is longer than this.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const PAGE: &str = "100";
/// Sessions that a look-up reads at most: all that one account opens in some minutes.
const MAX_PAGES: usize = 50;

/// Every value of the `operation` label.
pub const OPERATIONS: [&str; 7] = [
    "create_session",
    "expire_session",
    "get_session",
    "list_sessions",
    "refund",
    "list_refunds",
    "get_payment_intent",
];

/// A client of Stripe's API. Cheap to clone.
#[derive(Clone)]
pub struct Stripe {
    http: reqwest::Client,
    base: Url,
    key: SecretString,
    limiter: std::sync::Arc<DefaultDirectRateLimiter>,
    throttle: Histogram,
}

impl Stripe {
    /// Builds the client; connections are made when they are needed.
    pub fn new(config: &StripeConfig) -> Result<Self, reqwest::Error> {
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_static("stripe-version"), HeaderValue::from_static(STRIPE_VERSION));
        let http = reqwest::Client::builder()
            .user_agent(concat!("calendly-pipeline/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        // A quarter of a second's worth at once: with a full second's, the first second could see twice the limit.
        let per_second = NonZeroU32::new(config.max_requests_per_second).unwrap_or(NonZeroU32::MIN);
        let burst = NonZeroU32::new(per_second.get() / 4).unwrap_or(NonZeroU32::MIN);
        let limiter = RateLimiter::direct(Quota::per_second(per_second).allow_burst(burst));
        let throttle = metrics::histogram!(names::STRIPE_THROTTLE);
        let (base, key) = (config.api_base.clone(), config.secret_key.clone());
        Ok(Self { http, base, key, limiter: limiter.into(), throttle })
    }

    /// Waits until the rate limit allows one more request. To be called before an operation is claimed, so that the
    /// wait does not eat into its lease.
    pub async fn ready(&self) {
        let began = Instant::now();
        self.limiter.until_ready().await;
        self.throttle.record(began.elapsed());
    }

    /// Opens a Checkout session with exactly these fields.
    pub async fn create_session(&self, key: &str, fields: &[(String, String)]) -> Result<CheckoutSession, StripeError> {
        self.post("create_session", "/v1/checkout/sessions", key, fields).await
    }

    /// Expires a Checkout session; Stripe refuses unless it is open.
    pub async fn expire_session(&self, key: &str, id: &str) -> Result<CheckoutSession, StripeError> {
        self.post("expire_session", &format!("/v1/checkout/sessions/{}/expire", segment(id)), key, &[]).await
    }

    /// Fetches a Checkout session.
    pub async fn session(&self, id: &str) -> Result<CheckoutSession, StripeError> {
        self.get("get_session", &format!("/v1/checkout/sessions/{}", segment(id)), &[]).await
    }

    /// Returns a payment with exactly these fields.
    pub async fn refund(&self, key: &str, fields: &[(String, String)]) -> Result<Refund, StripeError> {
        self.post("refund", "/v1/refunds", key, fields).await
    }

    /// All refunds of a payment.
    pub async fn refunds_of(&self, payment_intent: &str) -> Result<Vec<Refund>, StripeError> {
        let filter = [("payment_intent", payment_intent.to_owned())];
        self.list("list_refunds", "/v1/refunds", &filter, |refund: &Refund| refund.id.clone(), |_| false).await
    }

    /// When a payment was made, if it was.
    pub async fn paid_at(&self, payment_intent: &str) -> Result<Option<Timestamp>, StripeError> {
        let path = format!("/v1/payment_intents/{}", segment(payment_intent));
        let expand = [("expand[]", "latest_charge".to_owned())];
        let intent: PaymentIntent = self.get("get_payment_intent", &path, &expand).await?;
        Ok(intent.latest_charge.and_then(|charge| Timestamp::from_second(charge.created).ok()))
    }

    /// The session that an operation opened within `window` (Unix seconds), if it did.
    ///
    /// Stripe cannot search sessions by metadata, so the list of that time is read.
    pub async fn session_of(
        &self,
        operation_id: &str,
        window: (i64, i64),
    ) -> Result<Option<CheckoutSession>, StripeError> {
        let filter = [("created[gte]", window.0.to_string()), ("created[lte]", window.1.to_string())];
        let ours = |session: &CheckoutSession| {
            session.metadata.as_ref().and_then(|m| m.get("operation_id")).is_some_and(|id| id == operation_id)
        };
        let id = |session: &CheckoutSession| session.id.clone();
        let found = self.list("list_sessions", "/v1/checkout/sessions", &filter, id, ours).await?;
        Ok(found.into_iter().find(ours))
    }

    /// Whether Stripe takes the key for what the processor does, as far as reading tells: sessions and refunds.
    pub async fn try_key(&self) -> Result<(), StripeError> {
        let one = [("limit", "1".to_owned())];
        let _: Page<CheckoutSession> = self.get("list_sessions", "/v1/checkout/sessions", &one).await?;
        let _: Page<Refund> = self.get("list_refunds", "/v1/refunds", &one).await?;
        Ok(())
    }

    /// Reads a list page by page, until `enough` is true of an element.
    async fn list<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        path: &str,
        filter: &[(&str, String)],
        id: impl Fn(&T) -> String,
        enough: impl Fn(&T) -> bool,
    ) -> Result<Vec<T>, StripeError> {
        let mut all: Vec<T> = Vec::new();
        for _ in 0..MAX_PAGES {
            let mut query: Vec<(&str, String)> = vec![("limit", PAGE.to_owned())];
            query.extend(filter.iter().cloned());
            if let Some(last) = all.last() {
                query.push(("starting_after", id(last)));
            }
            let page: Page<T> = self.get(operation, path, &query).await?;
            let done = !page.has_more || page.data.is_empty() || page.data.iter().any(&enough);
            all.extend(page.data);
            if done {
                return Ok(all);
            }
        }
        // Not finding it would lead to a second one: better to fail, and be looked at.
        Err(StripeError::Unreadable { operation, request: "too many pages".to_owned() })
    }

    async fn get<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<T, StripeError> {
        self.ready().await;
        self.send(operation, self.request(Method::GET, path).query(query)).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        path: &str,
        key: &str,
        fields: &[(String, String)],
    ) -> Result<T, StripeError> {
        self.send(operation, self.request(Method::POST, path).header("Idempotency-Key", key).form(fields)).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut url = self.base.clone();
        url.set_path(path);
        self.http.request(method, url).bearer_auth(self.key.expose_secret())
    }

    async fn send<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        request: RequestBuilder,
    ) -> Result<T, StripeError> {
        let started = Instant::now();
        let span = span_of(operation);
        let request = match telemetry::identity(&span) {
            Some(identity) => request.header("traceparent", identity.to_string()),
            None => request,
        };
        let result = exchange(operation, request).instrument(span.clone()).await;
        metrics::histogram!(names::STRIPE_REQUEST_DURATION, "operation" => operation).record(started.elapsed());
        let outcome = result.as_ref().map_or_else(StripeError::outcome, |_| "ok");
        metrics::counter!(names::STRIPE_REQUESTS, "operation" => operation, "outcome" => outcome).increment(1);
        span.record("outcome", outcome);
        if result.is_err() {
            span.record("otel.status_code", "ERROR");
        }
        result
    }
}

fn span_of(operation: &'static str) -> Span {
    tracing::info_span!(
        target: SPANS, "stripe", otel.name = format_args!("stripe {operation}"), otel.kind = "client", operation,
        outcome = Empty, http.response.status_code = Empty, stripe.request_id = Empty, otel.status_code = Empty,
    )
}

/// Ids come from Stripe or from our own ledger; a stray slash must still not change the path.
fn segment(id: &str) -> String {
    id.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')).collect()
}

async fn exchange<T: DeserializeOwned>(operation: &'static str, request: RequestBuilder) -> Result<T, StripeError> {
    let response = request.send().await.map_err(|error| {
        if error.is_connect() { StripeError::Unreachable { operation } } else { StripeError::Broken { operation } }
    })?;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.bytes().await.map_err(|_| StripeError::Broken { operation })?;
    let request = text_of(&headers, "request-id");
    Span::current().record("http.response.status_code", status.as_u16()).record("stripe.request_id", request.as_str());
    if status.is_success() {
        return serde_json::from_slice(&body).map_err(|_| StripeError::Unreadable { operation, request });
    }
    // A body that is no Stripe error comes from something in between: the status alone counts.
    let error = serde_json::from_slice::<ErrorBody>(&body).unwrap_or_default().error;
    Err(sort(operation, status, &headers, request, error))
}

fn sort(
    operation: &'static str,
    status: StatusCode,
    headers: &HeaderMap,
    request: String,
    error: super::objects::ErrorFields,
) -> StripeError {
    let retry_after = text_of(headers, "retry-after").parse().ok().map(Duration::from_secs);
    let kind = error.kind.unwrap_or_default();
    let code = error.code.unwrap_or_else(|| kind.clone());
    // Stripe's own word on whether another try can help overrides the status, see docs.stripe.com/error-low-level.
    let should_retry = text_of(headers, "stripe-should-retry");
    match status.as_u16() {
        429 if should_retry != "false" => StripeError::RateLimited { operation, retry_after },
        409 if should_retry != "false" => StripeError::Conflict { operation },
        400 if kind == "idempotency_error" => StripeError::KeyReused { operation },
        status @ (401 | 403) => StripeError::Credentials { operation, status, request },
        status @ 400..=499 if status != 409 && should_retry != "true" => {
            let param = error.param.unwrap_or_default();
            StripeError::Refused { operation, status, code, param, request }
        }
        // Not to be tried again, although it may have been done, or be under way.
        status @ (409 | 500..=599) if should_retry == "false" => StripeError::GaveUp { operation, status, request },
        // A 5xx without Stripe's own words comes from something in between, and the key still holds.
        500..=599 if kind.is_empty() => StripeError::Broken { operation },
        status => StripeError::Server { operation, status, request, retry_after },
    }
}

fn text_of(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}
