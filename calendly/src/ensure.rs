//! Makes a subscription what it should be, and leaves one that is so alone.
//!
//! Several may do this at once: all keep the same one (the oldest that is right), delete nothing that is right but that
//! one's doubles, and who is told that the address is taken looks again.

use std::collections::BTreeSet;

use reqwest::Url;
use secrecy::SecretString;
use serde::Serialize;

use crate::client::Calendly;
use crate::error::{CalendlyError, Doubt};
use crate::objects::{NewSubscription, State, Subscription, SubscriptionId};
use crate::pace;
use crate::subject::Subject;

/// What the processor handles.
pub const EVENTS: [&str; 4] =
    ["invitee.created", "invitee.canceled", "invitee_no_show.created", "invitee_no_show.deleted"];
/// Looks at the list, each followed by a try to create what is missing there.
const ROUNDS: u32 = 4;

/// What a subscription should be.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Where it delivers.
    pub url: Url,
    /// Whose happenings.
    pub subject: Subject,
    /// At least these. What an existing one has beyond them is kept.
    pub events: BTreeSet<String>,
}

/// What was to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// There was a right one.
    Unchanged,
    /// There was none.
    Created,
    /// There was a wrong one.
    Replaced,
    /// A disabled one that is to be kept has our address, and Calendly allows no second: there is no right one.
    Blocked,
}

/// How to treat what is there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manner {
    /// Makes a new one though there is a right one: the only way to give it another signing key.
    pub renew: bool,
    /// Keeps disabled ones. Each marks a gap, and is to be deleted when what it did not deliver has been fetched.
    pub keep_disabled: bool,
}

/// How it is now.
#[derive(Debug)]
pub struct Ensured {
    /// What was done to get there.
    pub outcome: Outcome,
    /// The right one; none in a preview that would create it, and when it is blocked.
    pub subscription: Option<Subscription>,
    /// Disabled ones that are kept.
    pub kept: Vec<Subscription>,
    /// URIs of what was deleted.
    pub deleted: Vec<String>,
    /// What should have been deleted. It delivers the same happenings once more, which is harmless.
    pub left: Vec<Leftover>,
}

/// A subscription that could not be deleted.
#[derive(Debug)]
pub struct Leftover {
    /// Its URI.
    pub uri: String,
    /// Why.
    pub error: CalendlyError,
}

/// What of a list is about our address.
struct Found {
    /// The oldest right one.
    right: Option<Subscription>,
    /// Everything else with our address.
    wrong: Vec<Subscription>,
}

impl Wish {
    fn sort(&self, all: Vec<Subscription>, condemned: &BTreeSet<String>) -> Found {
        let ours = all.into_iter().filter(|subscription| self.is_about(subscription));
        let (mut right, mut wrong): (Vec<_>, Vec<_>) =
            ours.partition(|one| self.is_right(one) && !condemned.contains(&one.uri));
        right.sort_by(|a, b| (a.created_at, &a.uri).cmp(&(b.created_at, &b.uri)));
        let mut right = right.into_iter();
        let oldest = right.next();
        wrong.extend(right);
        Found { right: oldest, wrong }
    }

    /// The list is asked for one subject; whether the server has looked at that is seen here.
    fn is_about(&self, one: &Subscription) -> bool {
        let same = |theirs: &Option<String>, ours: Option<&str>| match (theirs, ours) {
            (Some(theirs), Some(ours)) => theirs == ours,
            _ => true,
        };
        Url::parse(&one.callback_url).is_ok_and(|url| url == self.url)
            && same(&one.scope, Some(self.subject.scope().as_str()))
            && same(&one.organization, Some(self.subject.organization().as_str()))
            && same(&one.user, self.subject.user().map(crate::ResourceUri::as_str))
            && same(&one.group, self.subject.group().map(crate::ResourceUri::as_str))
    }

    fn is_right(&self, one: &Subscription) -> bool {
        one.state == State::Active && self.events.is_subset(&one.events)
    }
}

/// What [`ensure`] would do. `renew` as there.
pub async fn preview(client: &Calendly, wish: &Wish, renew: bool) -> Result<Ensured, CalendlyError> {
    let all = client.subscriptions(&wish.subject).await?;
    let condemned = if renew { all.iter().map(|one| one.uri.clone()).collect() } else { BTreeSet::new() };
    let Found { right, wrong } = wish.sort(all, &condemned);
    let outcome = match (&right, wrong.is_empty()) {
        (Some(_), _) => Outcome::Unchanged,
        (None, true) => Outcome::Created,
        (None, false) => Outcome::Replaced,
    };
    let deleted = wrong.into_iter().map(|one| one.uri).collect();
    Ok(Ensured { outcome, subscription: right, kept: Vec::new(), deleted, left: Vec::new() })
}

/// Sees to it that there is one right subscription with the wish's address, and no other with that address but disabled
/// ones that are kept.
///
/// The new one is made before the old is deleted, so nothing is missed, unless Calendly refuses a second one with the
/// same address: then there is a gap of one request.
pub async fn ensure(
    client: &Calendly,
    wish: &Wish,
    signing_key: &SecretString,
    manner: Manner,
) -> Result<Ensured, CalendlyError> {
    let mut attempt = Attempt { client, wish, signing_key, kept: Vec::new(), deleted: Vec::new(), left: Vec::new() };
    let mut condemned = BTreeSet::new();
    let mut perhaps_created = false;
    let mut round = 0;
    loop {
        let all = client.subscriptions(&wish.subject).await?;
        if manner.renew && round == 0 {
            condemned = all.iter().map(|one| one.uri.clone()).collect();
        }
        let Found { right, wrong } = wish.sort(all, &condemned);
        let wrong = attempt.keep(wrong, manner);
        if let Some(right) = right {
            attempt.delete(&wrong).await;
            return Ok(attempt.ended(right, perhaps_created));
        }
        let error = match attempt.create(&wrong).await {
            Ok(created) => {
                attempt.delete(&wrong).await;
                return Ok(attempt.ended(created, true));
            }
            Err(error) => error,
        };
        perhaps_created |= error.doubt() == Doubt::MayBeDone;
        let taken = matches!(error, CalendlyError::Exists { .. });
        round += 1;
        // Looked at twice, since somebody else may just have made the right one.
        if taken && round > 1 && !attempt.kept.is_empty() {
            return Ok(attempt.blocked());
        }
        if !(perhaps_created || taken) || round == ROUNDS {
            return Err(error);
        }
        tokio::time::sleep(pace::pause(round, rand::random())).await;
    }
}

/// Deletes subscriptions, whatever they are. Gives what could not be deleted; one that is gone already counts as deleted.
pub async fn remove(client: &Calendly, subscriptions: &[Subscription]) -> Vec<Leftover> {
    let mut left = Vec::new();
    for Subscription { uri, .. } in subscriptions {
        let deleted = match uri.parse::<SubscriptionId>() {
            Ok(id) => client.delete_subscription(&id).await,
            Err(problem) => Err(CalendlyError::Unreadable { operation: "delete subscription", problem }),
        };
        match deleted {
            // Somebody else was faster.
            Ok(()) | Err(CalendlyError::NotFound { .. }) => {}
            Err(error) => left.push(Leftover { uri: uri.clone(), error }),
        }
    }
    left
}

struct Attempt<'a> {
    client: &'a Calendly,
    wish: &'a Wish,
    signing_key: &'a SecretString,
    kept: Vec<Subscription>,
    deleted: Vec<String>,
    left: Vec<Leftover>,
}

impl Attempt<'_> {
    /// Puts aside what is to be kept; gives the rest.
    fn keep(&mut self, wrong: Vec<Subscription>, manner: Manner) -> Vec<Subscription> {
        let is_kept = |one: &Subscription| manner.keep_disabled && one.state == State::Disabled;
        let (kept, rest) = wrong.into_iter().partition(is_kept);
        self.kept = kept;
        rest
    }

    /// Makes a new one, first beside the wrong ones, and in their place if that is refused.
    async fn create(&mut self, wrong: &[Subscription]) -> Result<Subscription, CalendlyError> {
        let mut events = self.wish.events.clone();
        events.extend(wrong.iter().chain(&self.kept).flat_map(|one| one.events.iter().cloned()));
        let new = NewSubscription::new(&self.wish.url, &events, &self.wish.subject, self.signing_key);
        match self.client.create_subscription(&new).await {
            Err(CalendlyError::Exists { .. }) if !wrong.is_empty() => {
                self.delete(wrong).await;
                self.client.create_subscription(&new).await
            }
            result => result,
        }
    }

    async fn delete(&mut self, wrong: &[Subscription]) {
        let due: Vec<Subscription> = wrong.iter().filter(|one| !self.deleted.contains(&one.uri)).cloned().collect();
        self.left.retain(|left| due.iter().all(|one| one.uri != left.uri));
        let left = remove(self.client, &due).await;
        let is_deleted = |one: &&Subscription| left.iter().all(|left| left.uri != one.uri);
        self.deleted.extend(due.iter().filter(is_deleted).map(|one| one.uri.clone()));
        self.left.extend(left);
    }

    fn ended(self, subscription: Subscription, created: bool) -> Ensured {
        let outcome = match (created, self.deleted.is_empty() && self.left.is_empty() && self.kept.is_empty()) {
            (false, _) => Outcome::Unchanged,
            (true, true) => Outcome::Created,
            (true, false) => Outcome::Replaced,
        };
        self.with(outcome, Some(subscription))
    }

    fn blocked(self) -> Ensured {
        self.with(Outcome::Blocked, None)
    }

    fn with(self, outcome: Outcome, subscription: Option<Subscription>) -> Ensured {
        let Self { kept, deleted, left, .. } = self;
        Ensured { outcome, subscription, kept, deleted, left }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish() -> Wish {
        let organization = "https://c/organizations/O".parse().unwrap();
        Wish {
            url: Url::parse("https://a/webhooks/calendly").unwrap(),
            subject: Subject::Organization { organization },
            events: BTreeSet::from(["invitee.created".to_owned()]),
        }
    }

    fn one(id: &str, mut change: serde_json::Value) -> Subscription {
        let mut value = serde_json::json!({
            "uri": format!("https://c/webhook_subscriptions/{id}"), "callback_url": "https://a/webhooks/calendly",
            "state": "active", "events": ["invitee.created"], "scope": "organization",
            "organization": "https://c/organizations/O", "created_at": "2026-01-02T00:00:00Z",
        });
        value.as_object_mut().unwrap().append(change.as_object_mut().unwrap());
        serde_json::from_value(value).unwrap()
    }

    fn sorted(all: Vec<Subscription>) -> (Option<String>, Vec<String>) {
        let id = |one: &Subscription| one.uri.rsplit('/').next().unwrap().to_owned();
        let found = wish().sort(all, &BTreeSet::new());
        (found.right.as_ref().map(id), found.wrong.iter().map(id).collect())
    }

    #[test]
    fn what_is_right_is_kept_and_what_is_not_ours_is_not_touched() {
        let json = |text: &str| serde_json::from_str(text).unwrap();
        let more = one("more", json(r#"{"events":["invitee.created","contact.created"]}"#));
        assert_eq!(sorted(vec![more]), (Some("more".to_owned()), vec![]));
        for wrong in [r#"{"state":"disabled"}"#, r#"{"events":["invitee.canceled"]}"#] {
            assert_eq!(sorted(vec![one("w", json(wrong))]), (None, vec!["w".to_owned()]), "{wrong}");
        }
        for foreign in [
            r#"{"callback_url":"https://b/webhooks/calendly"}"#,
            r#"{"callback_url":"no address"}"#,
            r#"{"scope":"user"}"#,
            r#"{"organization":"https://c/organizations/P"}"#,
        ] {
            assert_eq!(sorted(vec![one("f", json(foreign))]), (None, vec![]), "{foreign}");
        }
    }

    #[test]
    fn everybody_keeps_the_oldest_of_several() {
        let old = || one("z", serde_json::json!({ "created_at": "2026-01-01T00:00:00Z" }));
        let [a, b] = [|| one("a", serde_json::json!({})), || one("b", serde_json::json!({}))];
        let expected = (Some("z".to_owned()), vec!["a".to_owned(), "b".to_owned()]);
        assert_eq!(sorted(vec![a(), b(), old()]), expected);
        assert_eq!(sorted(vec![old(), a(), b()]), expected);
        assert_eq!(sorted(vec![b(), a()]), (Some("a".to_owned()), vec!["b".to_owned()]));
    }
}
