//! Confluent's API of a schema registry, as far as we need it.

use std::fmt;
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Client, Method, StatusCode, Url};
use serde_json::{Value, json};

use super::config::RegistryConfig;

/// A request is small; what takes longer counts as no answer.
const TIMEOUT: Duration = Duration::from_secs(3);
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";
/// New schemas must read what all earlier ones wrote.
const COMPATIBILITY: &str = "BACKWARD_TRANSITIVE";
/// Levels that are left as they are: those that promise at least that, and `FULL`, which somebody chose for its promise
/// in the other direction.
const ENOUGH: [&str; 3] = [COMPATIBILITY, "FULL_TRANSITIVE", "FULL"];
/// The registry's own codes for "there is no such subject, version, schema, compatibility level".
const NOT_FOUND: [u64; 4] = [40401, 40402, 40403, 40408];
const LONGEST_MESSAGE: usize = 300;

/// Why the registry did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// No answer, or that it cannot work now.
    #[error("the schema registry does not answer ({0})")]
    Unavailable(String),
    /// An answer, and not ours to repair.
    #[error("the schema registry answers {status}: {message} (check SCHEMA_REGISTRY_URL)")]
    Refused {
        /// HTTP status.
        status: u16,
        /// What it says.
        message: String,
    },
    /// The schema is not there, and we may not register it.
    #[error(
        "the schema registry lacks this release's schema of {0}; run `calctl schemas apply`, or set SCHEMA_REGISTRY_REGISTER=true"
    )]
    NotRegistered(String),
    /// A record names a schema that the registry does not have, or not yet: it may be restored from a backup.
    #[error("the schema registry knows no schema with the id {0}")]
    UnknownId(u32),
    /// The subject has schemas that ours is not compatible with.
    #[error("the schema registry holds this release's schema of {subject} for incompatible: {message}")]
    Incompatible {
        /// The subject.
        subject: String,
        /// What it says.
        message: String,
    },
}

/// A client of the registry. Cheap to clone.
#[derive(Clone)]
pub struct Registry {
    http: Client,
    base: Url,
    register: bool,
}

impl fmt::Debug for Registry {
    /// Without the address, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("register", &self.register).finish_non_exhaustive()
    }
}

impl Registry {
    /// A client; nothing is asked yet.
    pub fn new(config: &RegistryConfig) -> reqwest::Result<Self> {
        let http = Client::builder().timeout(TIMEOUT).connect_timeout(TIMEOUT).build()?;
        Ok(Self { http, base: config.url.clone(), register: config.register })
    }

    /// The id of a schema under its subject. What is missing is registered, if `SCHEMA_REGISTRY_REGISTER` allows it.
    pub async fn id_of(&self, subject: &str, schema: &str) -> Result<u32, RegistryError> {
        match self.look_up(subject, schema).await? {
            Some(id) => Ok(id),
            None if self.register => self.register(subject, schema).await,
            None => Err(RegistryError::NotRegistered(subject.to_owned())),
        }
    }

    /// The id of a schema, if its subject has it.
    pub async fn look_up(&self, subject: &str, schema: &str) -> Result<Option<u32>, RegistryError> {
        let found = self.call(Method::POST, &["subjects", subject], Some(json!({ "schema": schema }))).await?;
        found.map(|answer| id(&answer)).transpose()
    }

    /// The schema behind an id, JSON, if there is one.
    pub async fn schema(&self, id: u32) -> Result<Option<String>, RegistryError> {
        let Some(answer) = self.call(Method::GET, &["schemas", "ids", &id.to_string()], None).await? else {
            return Ok(None);
        };
        answer.get("schema").and_then(Value::as_str).map(|schema| Some(schema.to_owned())).ok_or_else(unreadable)
    }

    async fn register(&self, subject: &str, schema: &str) -> Result<u32, RegistryError> {
        let body = json!({ "schema": schema });
        match self.call(Method::POST, &["subjects", subject, "versions"], Some(body)).await {
            Ok(Some(answer)) => {
                let id = id(&answer)?;
                tracing::info!(subject, id, "schema registered");
                Ok(id)
            }
            Ok(None) => Err(unreadable()),
            Err(RegistryError::Refused { status: 409, message }) => {
                Err(RegistryError::Incompatible { subject: subject.to_owned(), message })
            }
            Err(error) => Err(error),
        }
    }

    /// Sets the subject's compatibility, if `SCHEMA_REGISTRY_REGISTER` allows it, unless the level that holds for it, its
    /// own or the registry's, is as strict. Apart from [`Self::id_of`]: not everybody who may register may do this.
    pub async fn protect(&self, subject: &str) -> Result<(), RegistryError> {
        if !self.register {
            return Ok(());
        }
        if !self.level(subject).await?.is_some_and(|level| is_enough(&level)) {
            self.call(Method::PUT, &["config", subject], Some(json!({ "compatibility": COMPATIBILITY }))).await?;
            tracing::info!(subject, compatibility = COMPATIBILITY, "compatibility of the schemas set");
        }
        Ok(())
    }

    /// Whether the compatibility that holds for the subject is at least what [`Self::protect`] would set.
    pub async fn is_protected(&self, subject: &str) -> Result<bool, RegistryError> {
        Ok(self.level(subject).await?.is_some_and(|level| is_enough(&level)))
    }

    async fn level(&self, subject: &str) -> Result<Option<String>, RegistryError> {
        let mut url = self.url(&["config", subject]);
        url.set_query(Some("defaultToGlobal=true"));
        let level = self.request(Method::GET, url, None).await?;
        let level = level.as_ref().and_then(|level| level.get("compatibilityLevel")).and_then(Value::as_str);
        Ok(level.map(str::to_owned))
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    /// `None` when the registry says that there is no such thing.
    async fn call(&self, method: Method, path: &[&str], body: Option<Value>) -> Result<Option<Value>, RegistryError> {
        self.request(method, self.url(path), body).await
    }

    async fn request(&self, method: Method, url: Url, body: Option<Value>) -> Result<Option<Value>, RegistryError> {
        let mut request = self.http.request(method, url).header(ACCEPT, MEDIA_TYPE);
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, MEDIA_TYPE).body(body.to_string());
        }
        let response = request.send().await.map_err(unavailable)?;
        let status = response.status();
        let text = response.text().await.map_err(unavailable)?;
        let answer: Option<Value> = serde_json::from_str(&text).ok();
        if status.is_success() {
            return answer.map(Some).ok_or_else(unreadable);
        }
        let code = answer.as_ref().and_then(|answer| answer.get("error_code")).and_then(Value::as_u64);
        if status == StatusCode::NOT_FOUND && code.is_some_and(|code| NOT_FOUND.contains(&code)) {
            return Ok(None);
        }
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(RegistryError::Unavailable(format!("HTTP {status}")));
        }
        let message = answer.as_ref().and_then(|answer| answer.get("message")).and_then(Value::as_str);
        let message = message.unwrap_or("no message").chars().filter(|c| !c.is_control()).take(LONGEST_MESSAGE);
        Err(RegistryError::Refused { status: status.as_u16(), message: message.collect() })
    }
}

fn is_enough(level: &str) -> bool {
    ENOUGH.contains(&level)
}

fn id(answer: &Value) -> Result<u32, RegistryError> {
    let id = answer.get("id").and_then(Value::as_u64);
    id.and_then(|id| u32::try_from(id).ok()).ok_or_else(unreadable)
}

fn unreadable() -> RegistryError {
    RegistryError::Refused { status: 200, message: "something that is no registry's answer".to_owned() }
}

/// The innermost cause says most: "connection refused". The address may hold a password.
fn unavailable(error: reqwest::Error) -> RegistryError {
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    RegistryError::Unavailable(cause.to_string())
}
