//! Answers, with the errors that Calendly gives (the texts are recorded ones).

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use serde_json::{Value, json};

/// A status and what goes with it.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
}

impl Answer {
    pub(super) fn new(status: u16, body: Value) -> Self {
        Self { status, body }
    }

    pub(super) fn error(status: u16, title: &str, message: &str) -> Self {
        Self::new(status, json!({ "title": title, "message": message }))
    }

    pub(super) fn invalid(parameter: &str, problem: &str) -> Self {
        let details = json!([{ "parameter": parameter, "message": problem }]);
        let message = "The supplied parameters are invalid.";
        Self::new(400, json!({ "title": "Invalid Argument", "message": message, "details": details }))
    }

    pub(super) fn not_found() -> Self {
        Self::error(404, "Resource Not Found", "The server could not find the requested resource.")
    }

    /// What a status looks like when a test asks for it.
    pub(super) fn of_status(status: u16) -> Self {
        match status {
            401 => Self::error(401, "Unauthenticated", "The access token is invalid"),
            403 => Self::error(403, "Permission Denied", "Please upgrade your Calendly account to Standard"),
            404 => Self::not_found(),
            409 => Self::error(409, "Already Exists", "Hook with this url already exists"),
            429 => Self::error(429, "Too Many Requests", "You have exceeded the rate limit"),
            status => Self::error(status, "Unknown", "The server says so"),
        }
    }

    pub(super) fn into_response(self, headers: &[(&'static str, String)]) -> Response {
        let mut response = Response::builder().status(self.status).header(CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            response = response.header(*name, value);
        }
        let body = if self.body.is_null() { String::new() } else { self.body.to_string() };
        response.body(Body::from(body)).unwrap()
    }
}
