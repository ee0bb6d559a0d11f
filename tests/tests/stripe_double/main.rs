//! The Stripe double must be as strict as Stripe, or what passes on it proves nothing.

mod faults;
mod idempotency;
mod money;
mod sessions;
mod shapes;
mod webhooks;

use std::time::Duration;

use serde_json::Value;
use tests::stripe::{API_VERSION, StripeDouble, http_client};

/// A client of the double, with everything right unless a test says otherwise.
#[derive(Clone)]
struct Client {
    http: reqwest::Client,
    base: String,
    secret_key: String,
}

struct Answer {
    status: u16,
    replayed: bool,
    headers: reqwest::header::HeaderMap,
    body: Value,
}

impl Answer {
    fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }

    fn kind(&self) -> &str {
        self.body["error"]["type"].as_str().unwrap_or_default()
    }

    fn id(&self) -> String {
        self.body["id"].as_str().unwrap_or_else(|| panic!("no object: {}", self.body)).to_owned()
    }
}

type Form<'a> = Vec<(&'a str, String)>;

impl Client {
    fn of(double: &StripeDouble) -> Self {
        Self { http: http_client(), base: double.url(), secret_key: double.secret_key().to_owned() }
    }

    fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        request.bearer_auth(&self.secret_key).header("Stripe-Version", API_VERSION)
    }

    async fn get(&self, path: &str) -> Answer {
        send(self.request(reqwest::Method::GET, path)).await.unwrap()
    }

    async fn post(&self, path: &str, key: &str, form: &Form<'_>) -> Answer {
        self.try_post(path, key, form).await.unwrap()
    }

    async fn try_post(&self, path: &str, key: &str, form: &Form<'_>) -> reqwest::Result<Answer> {
        let request = self.request(reqwest::Method::POST, path).form(form);
        send(if key.is_empty() { request } else { request.header("Idempotency-Key", key) }).await
    }

    async fn create(&self, key: &str, form: &Form<'_>) -> Answer {
        self.post("/v1/checkout/sessions", key, form).await
    }

    /// A session that was created, by id.
    async fn session(&self, booking: &str) -> String {
        let answer = self.create("", &session_form(booking)).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.id()
    }
}

async fn send(request: reqwest::RequestBuilder) -> reqwest::Result<Answer> {
    let response = request.send().await?;
    let headers = response.headers().clone();
    assert!(headers.contains_key("request-id"));
    let status = response.status().as_u16();
    let replayed = headers.get("idempotent-replayed").is_some_and(|value| value == "true");
    Ok(Answer { status, replayed, headers, body: response.json().await? })
}

fn in_seconds(seconds: i64) -> String {
    (jiff::Timestamp::now().as_second() + seconds).to_string()
}

/// What the pipeline sends.
fn session_form(booking: &str) -> Form<'static> {
    let item = |name: &'static str, value: &str| (name, value.to_owned());
    vec![
        item("mode", "payment"),
        item("success_url", "https://example.com/done?session={CHECKOUT_SESSION_ID}"),
        item("cancel_url", "https://example.com/gone"),
        item("client_reference_id", booking),
        item("metadata[booking_id]", booking),
        item("payment_intent_data[metadata][booking_id]", booking),
        item("customer_email", "someone@example.com"),
        item("line_items[0][price_data][currency]", "usd"),
        item("line_items[0][price_data][unit_amount]", "5000"),
        item("line_items[0][price_data][product_data][name]", "30 Minute Meeting"),
        item("line_items[0][quantity]", "1"),
        item("expires_at", &in_seconds(60 * 60)),
    ]
}

/// The form with one parameter set or replaced.
fn with(mut form: Form<'static>, name: &'static str, value: &str) -> Form<'static> {
    form.retain(|(other, _)| *other != name);
    form.push((name, value.to_owned()));
    form
}

fn without(mut form: Form<'static>, name: &str) -> Form<'static> {
    form.retain(|(other, _)| *other != name);
    form
}

async fn eventually(holds: impl Fn() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not within 5 s");
}
