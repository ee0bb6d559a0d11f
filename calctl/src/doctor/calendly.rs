//! Calendly: the token, and the subscription that brings the deliveries.

use calendly::{ApiConfig, Calendly, CalendlyError, EVENTS, Outcome, ScopeChoice, Url, Wish, callback_url, preview};
use runtime::env::{ConfigError, Env};

use super::finding::Finding;

const TOKEN: &str = "calendly";
const SUBSCRIPTION: &str = "calendly-subscription";

pub(super) async fn check(env: &Env) -> Vec<Finding> {
    match read(env) {
        Ok(Some((api, choice, url))) => look(&api, &choice, url).await,
        Ok(None) => vec![Finding::not_configured(TOKEN, "CALENDLY_TOKEN")],
        Err(error) => vec![Finding::unreadable(TOKEN, &error)],
    }
}

type Config = (ApiConfig, ScopeChoice, Option<Url>);

fn read(env: &Env) -> Result<Option<Config>, ConfigError> {
    let Some(api) = ApiConfig::from_env(env)? else { return Ok(None) };
    Ok(Some((api, ScopeChoice::from_env(env)?, callback_url(env)?)))
}

async fn look(api: &ApiConfig, choice: &ScopeChoice, url: Option<Url>) -> Vec<Finding> {
    let Ok(client) = Calendly::new(api) else {
        return vec![Finding::fail(TOKEN, "the HTTP client cannot be built", "is this machine out of files?")];
    };
    let subject = match choice.resolve(&client).await {
        Ok(subject) => subject,
        Err(error) => {
            let unseen = Finding::skip(SUBSCRIPTION, "not looked at: Calendly does not let us in");
            return vec![refused(TOKEN, &error), unseen];
        }
    };
    let detail = format!("takes the token; {} of {}", subject.scope(), subject.organization().as_str());
    let token = Finding::ok(TOKEN, detail);
    let Some(url) = url else { return vec![token, Finding::not_configured(SUBSCRIPTION, "PUBLIC_URL")] };
    let wish = Wish { url, subject, events: EVENTS.map(str::to_owned).into() };
    let subscription = of_subscription(&client, &wish).await.unwrap_or_else(|error| refused(SUBSCRIPTION, &error));
    vec![token, subscription]
}

async fn of_subscription(client: &Calendly, wish: &Wish) -> Result<Finding, CalendlyError> {
    let seen = preview(client, wish, false).await?;
    let ensure = "let ingest do it (CALENDLY_TOKEN, PUBLIC_URL), which fetches what was missed as well; or run `calctl \
                  webhooks ensure`, and `calctl backfill --since` the time that deliveries began to fail";
    let (Some(one), Outcome::Unchanged) = (seen.subscription, seen.outcome) else {
        let detail = match seen.outcome {
            Outcome::Created => format!("none delivers to {}", wish.url),
            _ => format!("the one to {} is disabled or lacks events", wish.url),
        };
        return Ok(Finding::fail(SUBSCRIPTION, detail, ensure));
    };
    if let Some(since) = one.retry_started_at {
        let detail = format!("deliveries to {} have been failing since {since:.0}", wish.url);
        let advice = "see what ingest answers; Calendly disables the subscription after 24 hours of that";
        return Ok(Finding::warn(SUBSCRIPTION, detail, advice));
    }
    if !seen.deleted.is_empty() {
        let detail = format!(
            "{} more than need be to {}, unless ingest is still fetching what a disabled one missed",
            seen.deleted.len(),
            wish.url
        );
        return Ok(Finding::warn(SUBSCRIPTION, detail, ensure));
    }
    Ok(Finding::ok(SUBSCRIPTION, format!("active, to {}", wish.url)))
}

fn refused(check: &'static str, error: &CalendlyError) -> Finding {
    Finding::fail_of(check, &error.to_string(), "see what Calendly says")
}
