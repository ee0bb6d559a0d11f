//! Refusals in Stripe's error format, and answers as they go over the wire and into the idempotency store.

use serde_json::{Map, Value, json};

/// A refusal: what Stripe's `error` object holds, plus the HTTP status. Boxed, as most results are no refusals.
#[derive(Clone, Debug)]
pub(super) struct Refusal(Box<Parts>);

#[derive(Clone, Debug)]
struct Parts {
    status: u16,
    kind: String,
    code: Option<String>,
    message: String,
    param: Option<String>,
    headers: Vec<(&'static str, String)>,
}

impl Refusal {
    pub(super) fn new(status: u16, kind: &str, message: impl Into<String>) -> Self {
        let (kind, message) = (kind.to_owned(), message.into());
        Self(Box::new(Parts { status, kind, code: None, message, param: None, headers: Vec::new() }))
    }

    /// A 400 of the type that most refusals have.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "invalid_request_error", message)
    }

    pub(super) fn missing_param(param: &str) -> Self {
        Self::invalid(format!("Missing required param: {param}.")).code("parameter_missing").param(param)
    }

    pub(super) fn no_such(object: &str, id: &str, param: &str) -> Self {
        let message = format!("No such {object}: '{id}'");
        Self::new(404, "invalid_request_error", message).code("resource_missing").param(param)
    }

    pub(super) fn code(mut self, code: &str) -> Self {
        self.0.code = Some(code.to_owned());
        self
    }

    pub(super) fn param(mut self, param: &str) -> Self {
        self.0.param = Some(param.to_owned());
        self
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.0.headers.push((name, value.into()));
        self
    }

    pub(super) fn into_answer(self) -> Answer {
        let parts = *self.0;
        let mut error = Map::new();
        if let Some(code) = parts.code {
            error.insert("doc_url".into(), json!(format!("https://stripe.com/docs/error-codes/{}", slug(&code))));
            error.insert("code".into(), json!(code));
        }
        error.insert("message".into(), json!(parts.message));
        if let Some(param) = parts.param {
            error.insert("param".into(), json!(param));
        }
        error.insert("type".into(), json!(parts.kind));
        let body = json!({ "error": Value::Object(error) }).to_string();
        Answer { status: parts.status, body, headers: parts.headers }
    }
}

fn slug(code: &str) -> String {
    code.replace('_', "-")
}

/// One HTTP answer. Status and body are what an idempotency key keeps; headers are not.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
    pub(super) headers: Vec<(&'static str, String)>,
}

impl Answer {
    pub(super) fn ok(body: &Value) -> Self {
        Self { status: 200, body: body.to_string(), headers: Vec::new() }
    }

    /// What Stripe says when it fails itself.
    pub(super) fn server_error() -> Self {
        Refusal::new(500, "api_error", "An unknown error occurred.").into_answer()
    }
}
