//! What goes over the wire.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::subject::{ResourceUri, Scope, Subject};

/// Who the token belongs to.
#[derive(Clone, Debug, Deserialize)]
pub struct User {
    /// Who.
    pub uri: ResourceUri,
    /// Where.
    pub current_organization: ResourceUri,
}

/// Whether a subscription is delivered to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is.
    Active,
    /// It was not taken for 24 hours, and is given up.
    Disabled,
    /// Something that this code does not know.
    #[serde(untagged)]
    Other(String),
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Other(state) => state,
        })
    }
}

/// A webhook subscription, as Calendly tells of it: without its signing key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Subscription {
    /// Its identity.
    pub uri: String,
    /// Where it delivers.
    pub callback_url: String,
    /// Whether it does.
    pub state: State,
    /// Of what.
    #[serde(default)]
    pub events: BTreeSet<String>,
    /// How far it reaches, as Calendly writes it.
    #[serde(default)]
    pub scope: Option<String>,
    /// In which organization.
    #[serde(default)]
    pub organization: Option<String>,
    /// Of which user, with scope `user`.
    #[serde(default)]
    pub user: Option<String>,
    /// Of which group, with scope `group`.
    #[serde(default)]
    pub group: Option<String>,
    /// When it was made.
    #[serde(default, deserialize_with = "time_if_readable")]
    pub created_at: Option<Timestamp>,
    /// When it last changed, such as into a disabled one.
    #[serde(default, skip_serializing, deserialize_with = "time_if_readable")]
    pub updated_at: Option<Timestamp>,
    /// Since when deliveries have been failing; after 24 hours of that it is disabled.
    #[serde(default, deserialize_with = "time_if_readable")]
    pub retry_started_at: Option<Timestamp>,
}

/// What names a subscription in requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionId(String);

impl SubscriptionId {
    /// The id, which is safe in a path.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SubscriptionId {
    type Err = &'static str;

    /// Takes the URI, or the id at its end.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let problem =
            "must be a subscription's URI such as https://api.calendly.com/webhook_subscriptions/AAAAAAAAAAAAAAAA";
        let id = match text.rsplit_once('/') {
            None => text,
            Some((before, id)) if before.ends_with("/webhook_subscriptions") => id,
            Some(_) => return Err(problem),
        };
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !id.is_empty() && id.bytes().all(is_plain) { Ok(Self(id.to_owned())) } else { Err(problem) }
    }
}

/// A subscription to be made.
#[derive(Debug, Serialize)]
pub struct NewSubscription<'a> {
    url: &'a str,
    events: &'a BTreeSet<String>,
    scope: Scope,
    organization: &'a ResourceUri,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a ResourceUri>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a ResourceUri>,
    #[serde(serialize_with = "exposed")]
    signing_key: &'a SecretString,
}

impl<'a> NewSubscription<'a> {
    /// Delivers to `url` what happens to `subject`, signed with `signing_key`.
    pub fn new(
        url: &'a Url,
        events: &'a BTreeSet<String>,
        subject: &'a Subject,
        signing_key: &'a SecretString,
    ) -> Self {
        let (scope, organization) = (subject.scope(), subject.organization());
        Self {
            url: url.as_str(),
            events,
            scope,
            organization,
            user: subject.user(),
            group: subject.group(),
            signing_key,
        }
    }
}

/// A meeting. Everything that Calendly tells of it is kept.
#[derive(Clone, Deserialize)]
pub struct ScheduledEvent {
    /// Its identity.
    pub uri: String,
    /// All other fields.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

/// Somebody who booked. Everything that Calendly tells of them is kept.
#[derive(Clone, Deserialize)]
pub struct Invitee {
    /// Their identity.
    pub uri: String,
    /// All other fields.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

impl fmt::Debug for ScheduledEvent {
    /// Without the fields, which hold personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScheduledEvent").field("uri", &self.uri).finish_non_exhaustive()
    }
}

impl fmt::Debug for Invitee {
    /// Without the fields, which are personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invitee").field("uri", &self.uri).finish_non_exhaustive()
    }
}

/// What one thing comes in.
#[derive(Deserialize)]
pub(crate) struct Resource<T> {
    pub(crate) resource: T,
}

/// A part of a list.
#[derive(Deserialize)]
pub(crate) struct Page<T> {
    pub(crate) collection: Vec<T>,
    #[serde(default)]
    pub(crate) pagination: Pagination,
}

#[derive(Default, Deserialize)]
pub(crate) struct Pagination {
    #[serde(default)]
    pub(crate) next_page_token: Option<String>,
}

/// Calendly's words about an error; all of them may be missing.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct ErrorBody {
    pub(crate) title: Option<String>,
    pub(crate) message: Option<String>,
    pub(crate) details: Vec<ErrorDetail>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct ErrorDetail {
    pub(crate) parameter: Option<String>,
    pub(crate) message: Option<String>,
}

fn exposed<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose_secret())
}

/// A time in a form that we do not know is no reason not to look at the subscription.
fn time_if_readable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.and_then(|text| text.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_is_named_by_its_uri_or_id() {
        for text in ["https://api.calendly.com/webhook_subscriptions/AB-12", "AB-12"] {
            assert_eq!(text.parse::<SubscriptionId>().unwrap().as_str(), "AB-12");
        }
        for wrong in ["", "https://api.calendly.com/users/AB", "a b", "https://x/webhook_subscriptions/", "../me"] {
            assert!(wrong.parse::<SubscriptionId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_calendly_adds_or_leaves_out_is_no_error() {
        let text = r#"{"uri":"u","callback_url":"https://a","state":"paused","retry_started_at":"long ago","new":1}"#;
        let read: Subscription = serde_json::from_str(text).unwrap();
        assert_eq!((read.state.to_string().as_str(), read.retry_started_at), ("paused", None));
        let page: Page<Subscription> = serde_json::from_str(r#"{"collection":[]}"#).unwrap();
        assert!(page.collection.is_empty() && page.pagination.next_page_token.is_none());
    }

    #[test]
    fn a_new_subscription_shows_its_key_to_calendly_alone() {
        let (url, key) = (Url::parse("https://a/b").unwrap(), SecretString::from("hidden"));
        let subject = Subject::Organization { organization: "https://c/organizations/O".parse().unwrap() };
        let events = BTreeSet::from(["invitee.created".to_owned()]);
        let new = NewSubscription::new(&url, &events, &subject, &key);
        assert!(!format!("{new:?}").contains("hidden"));
        let expected = serde_json::json!({
            "url": "https://a/b", "events": ["invitee.created"], "scope": "organization",
            "organization": "https://c/organizations/O", "signing_key": "hidden",
        });
        assert_eq!(serde_json::to_value(&new).unwrap(), expected);
    }
}
