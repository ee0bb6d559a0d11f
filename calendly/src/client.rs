//! The client: timeouts, tries with jitter, the rate limit, pagination, and answers sorted into [`CalendlyError`].

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use reqwest::{Method, RequestBuilder, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::config::{ApiConfig, below};
use crate::error::{CalendlyError, Doubt};
use crate::objects::{
    ErrorBody, Invitee, NewSubscription, Resource, ScheduledEvent, Subscription, SubscriptionId, User,
};
use crate::pace;
use crate::pages::Pages;
use crate::subject::{ResourceUri, Scope, Subject};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// From the request to the last byte of the answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// The first one included.
const TRIES: u32 = 4;
/// Of Calendly's words, in characters.
const MAX_WORDS: usize = 300;

/// A client of Calendly's API. Clones share the connections and the rate limit.
#[derive(Clone)]
pub struct Calendly {
    http: reqwest::Client,
    base: reqwest::Url,
    token: SecretString,
    /// Nothing is sent before; set when Calendly says that the window is used up.
    closed_until: Arc<Mutex<Option<Instant>>>,
}

/// Which meetings to list.
#[derive(Clone, Debug)]
pub struct EventFilter<'a> {
    /// Whose.
    pub subject: &'a Subject,
    /// Those that begin at this time or later.
    pub from: Option<Timestamp>,
    /// Those that begin before this time.
    pub until: Option<Timestamp>,
    /// Asks by the user or the group alone. Beside the organization they are for its administrators; alone, a user is the
    /// token's owner, whose meetings in other organizations are listed as well.
    pub alone: bool,
}

impl Calendly {
    /// Builds the client; connections are made when they are needed.
    pub fn new(config: &ApiConfig) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("calendly-pipeline/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            // A redirect would carry the token elsewhere.
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { http, base: config.base.clone(), token: config.token.clone(), closed_until: Arc::default() })
    }

    /// Who the token belongs to.
    pub async fn me(&self) -> Result<User, CalendlyError> {
        let found: Resource<User> = self.get("users/me", &["users", "me"], &[]).await?;
        Ok(found.resource)
    }

    /// All subscriptions of a subject, to whatever address.
    pub async fn subscriptions(&self, subject: &Subject) -> Result<Vec<Subscription>, CalendlyError> {
        let mut query = of_subject(subject);
        query.push(("scope", subject.scope().as_str().to_owned()));
        Pages::new(self, "list subscriptions", &["webhook_subscriptions"], query).all().await
    }

    /// One subscription.
    pub async fn subscription(&self, id: &SubscriptionId) -> Result<Subscription, CalendlyError> {
        let path = ["webhook_subscriptions", id.as_str()];
        let found: Resource<Subscription> = self.get("get subscription", &path, &[]).await?;
        Ok(found.resource)
    }

    /// Makes a subscription. Not tried again where it may have been done: only the list can tell.
    pub async fn create_subscription(&self, new: &NewSubscription<'_>) -> Result<Subscription, CalendlyError> {
        let operation = "create subscription";
        let request = self.request(Method::POST, &["webhook_subscriptions"]).json(new);
        let body = self.send(operation, request, Doubt::NotDone).await?;
        let made: Resource<Subscription> = parse(operation, &body)?;
        Ok(made.resource)
    }

    /// Deletes a subscription; one that is not there is [`CalendlyError::NotFound`], also after a try without an answer.
    pub async fn delete_subscription(&self, id: &SubscriptionId) -> Result<(), CalendlyError> {
        let request = self.request(Method::DELETE, &["webhook_subscriptions", id.as_str()]);
        self.send("delete subscription", request, Doubt::MayBeDone).await.map(drop)
    }

    /// Meetings, in the order of their begin, cancelled ones included.
    ///
    /// Not filtered by status: nothing leaves such a list while it is read, so no page can lack what was on it.
    pub fn scheduled_events(&self, filter: &EventFilter<'_>) -> Pages<ScheduledEvent> {
        let mut query = of_subject(filter.subject);
        query.retain(|(name, _)| {
            !filter.alone || filter.subject.scope() == Scope::Organization || *name != "organization"
        });
        query.push(("sort", "start_time:asc".to_owned()));
        query.extend(filter.from.map(|time| ("min_start_time", time.to_string())));
        query.extend(filter.until.map(|time| ("max_start_time", time.to_string())));
        Pages::new(self, "list scheduled events", &["scheduled_events"], query)
    }

    /// Everybody who booked a meeting, those who cancelled included.
    pub fn invitees(&self, event: &ScheduledEvent) -> Pages<Invitee> {
        let id = event.uri.rsplit('/').next().unwrap_or_default();
        Pages::new(self, "list invitees", &["scheduled_events", id, "invitees"], Vec::new())
    }

    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<T, CalendlyError> {
        let request = self.request(Method::GET, path).query(query);
        parse(operation, &self.send(operation, request, Doubt::MayBeDone).await?)
    }

    /// Always at our own base: URIs and `next_page` name hosts that the token is not for.
    fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        self.http.request(method, below(&self.base, path)).bearer_auth(self.token.expose_secret())
    }

    /// Sends it, and again while the doubt that an error leaves is no greater than `tolerated`.
    async fn send(
        &self,
        operation: &'static str,
        request: RequestBuilder,
        tolerated: Doubt,
    ) -> Result<Vec<u8>, CalendlyError> {
        let mut tried = 0;
        loop {
            // All bodies here are in memory, so there is always a copy.
            let copy = request.try_clone().ok_or(CalendlyError::Broken { operation })?;
            let error = match self.exchange(operation, copy).await {
                Err(error) => error,
                done => return done,
            };
            let doubt = error.doubt();
            let again = doubt == Doubt::NotDone || doubt == tolerated;
            tried += 1;
            if !again || tried == TRIES {
                return Err(error);
            }
            let pause = match error {
                // The door says when it opens.
                CalendlyError::RateLimited { wait, .. } if !wait.is_zero() => pace::spread(wait, rand::random()),
                _ => pace::pause(tried - 1, rand::random()),
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn exchange(&self, operation: &'static str, request: RequestBuilder) -> Result<Vec<u8>, CalendlyError> {
        self.wait_for_window().await;
        let response = request.send().await.map_err(|error| {
            if error.is_connect() {
                CalendlyError::Unreachable { operation }
            } else {
                CalendlyError::Broken { operation }
            }
        })?;
        let (status, headers) = (response.status(), response.headers().clone());
        if let Some(wait) = pace::exhausted(&headers) {
            let until = Instant::now() + pace::spread(wait, rand::random());
            *self.closed_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
        }
        let body = response.bytes().await.map_err(|_| CalendlyError::Broken { operation })?;
        if status.is_success() {
            return Ok(body.into());
        }
        let wait = pace::retry_after(&headers).unwrap_or_default();
        // A body that is no error of Calendly's comes from something in between: the status alone counts.
        let error: ErrorBody = serde_json::from_slice(&body).unwrap_or_default();
        Err(sort(operation, status, wait, &error))
    }

    async fn wait_for_window(&self) {
        let until = *self.closed_until.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(until) = until {
            tokio::time::sleep_until(until.into()).await;
        }
    }
}

fn of_subject(subject: &Subject) -> Vec<(&'static str, String)> {
    let text = |uri: &ResourceUri| uri.as_str().to_owned();
    let mut query = vec![("organization", text(subject.organization()))];
    query.extend(subject.user().map(|user| ("user", text(user))));
    query.extend(subject.group().map(|group| ("group", text(group))));
    query
}

fn parse<T: DeserializeOwned>(operation: &'static str, body: &[u8]) -> Result<T, CalendlyError> {
    serde_json::from_slice(body).map_err(|_| {
        let is_json = serde_json::from_slice::<Value>(body).is_ok();
        let problem = if is_json { "a field is missing or of another type" } else { "it is no JSON" };
        CalendlyError::Unreadable { operation, problem }
    })
}

fn sort(operation: &'static str, status: StatusCode, wait: Duration, error: &ErrorBody) -> CalendlyError {
    let message = one_line(error.message.as_deref().or(error.title.as_deref()).unwrap_or("nothing"));
    match status.as_u16() {
        401 => CalendlyError::Token { operation },
        403 if message.to_lowercase().contains("upgrade") => CalendlyError::Plan { operation, message },
        403 => CalendlyError::Forbidden { operation, message },
        404 => CalendlyError::NotFound { operation },
        409 => CalendlyError::Exists { operation },
        429 => CalendlyError::RateLimited { operation, wait },
        status @ 500..=599 => CalendlyError::Server { operation, status },
        status => {
            let detail = |detail: &crate::objects::ErrorDetail| {
                let words = [detail.parameter.as_deref(), detail.message.as_deref()];
                words.into_iter().flatten().collect::<Vec<_>>().join(" ")
            };
            let details: Vec<String> = error.details.iter().map(detail).filter(|text| !text.is_empty()).collect();
            let problem = if details.is_empty() { message } else { one_line(&details.join(", ")) };
            CalendlyError::Refused { operation, status, problem }
        }
    }
}

/// Foreign words end up in a log and on a terminal.
fn one_line(text: &str) -> String {
    text.chars().take(MAX_WORDS).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(status: u16, body: &str) -> String {
        let body: ErrorBody = serde_json::from_str(body).unwrap_or_default();
        sort("x", StatusCode::from_u16(status).unwrap(), Duration::from_secs(3), &body).to_string()
    }

    #[test]
    fn every_error_says_what_to_do() {
        let plan = r#"{"title":"Permission Denied","message":"Please upgrade your Calendly account to Standard"}"#;
        let wrong = r#"{"title":"Invalid Argument","message":"The supplied parameters are invalid.",
            "details":[{"parameter":"url","message":"is not a valid\nURL"},{}]}"#;
        for (status, body, says) in [
            (401, r#"{"title":"Unauthenticated"}"#, "set CALENDLY_TOKEN"),
            (403, plan, "plan has no webhooks (x); Calendly says: Please upgrade"),
            (403, r#"{"message":"You do not have permission"}"#, "CALENDLY_SCOPE"),
            (404, "", "calctl webhooks list"),
            (409, r#"{"title":"Already Exists"}"#, "delete it"),
            (429, "", "try again in 3 s"),
            (400, wrong, "Calendly refuses with 400 (x): url is not a valid URL"),
            (418, "<html>", "refuses with 418 (x): nothing"),
            (502, "<html>", "failed with 502 (x); try again later"),
        ] {
            let text = sorted(status, body);
            assert!(text.contains(says), "{status}: {text}");
            assert!(!text.contains('\n'), "{text}");
        }
    }
}
