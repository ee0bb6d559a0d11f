//! Ingest from outside: would a delivery get through to it, and would it take the signature?
//!
//! What is sent is signed like a delivery and is none: see [`ingest::signature::probe`].

use std::time::Duration;

use calendly::{Url, callback_url};
use ingest::signature::probe;
use jiff::Timestamp;
use reqwest::StatusCode;
use runtime::env::{ConfigError, Env};
use secrecy::SecretString;

use super::finding::Finding;

const CALENDLY: &str = "ingest-calendly";
const STRIPE: &str = "ingest-stripe";
const CONNECT: Duration = Duration::from_secs(5);
/// Below the check's own deadline, so that the cause can be told.
const ANSWER: Duration = Duration::from_secs(7);
/// As like a delivery as can be, for whoever looks at requests on the way.
const BODY: &str = r#"{"event":"calendly_pipeline.probe","payload":{}}"#;

pub(super) async fn check(env: &Env) -> Vec<Finding> {
    match read(env) {
        Ok(Some(targets)) => {
            let [calendly, stripe] = targets;
            let (calendly, stripe) = tokio::join!(probed(calendly), probed(stripe));
            vec![calendly, stripe]
        }
        Ok(None) => vec![Finding::not_configured(CALENDLY, "PUBLIC_URL")],
        Err(error) => vec![Finding::unreadable(CALENDLY, &error)],
    }
}

/// One webhook.
struct Target {
    check: &'static str,
    url: Url,
    /// Where its keys come from.
    variable: &'static str,
    /// The first of them.
    key: Option<SecretString>,
}

fn read(env: &Env) -> Result<Option<[Target; 2]>, ConfigError> {
    let Some(calendly) = callback_url(env)? else { return Ok(None) };
    let mut stripe = calendly.clone();
    // Both are beside each other.
    if let Ok(mut path) = stripe.path_segments_mut() {
        path.pop().push("stripe");
    }
    let target = |check, url, variable| {
        let key = env.secrets(variable)?.into_iter().next();
        Ok(Target { check, url, variable, key })
    };
    let calendly = target(CALENDLY, calendly, "CALENDLY_SIGNING_KEYS")?;
    Ok(Some([calendly, target(STRIPE, stripe, "STRIPE_WEBHOOK_SECRETS")?]))
}

async fn probed(target: Target) -> Finding {
    let Target { check, url, variable, key } = target;
    let Some(key) = key else { return Finding::not_configured(check, variable) };
    let (status, answer) = match send(&url, &key).await {
        Ok(answered) => answered,
        Err(why) => {
            let advice = "is ingest running, and does the proxy before it lead there? Check PUBLIC_URL";
            return Finding::fail(check, format!("{url} cannot be reached ({why})"), advice);
        }
    };
    let code = status.as_u16();
    match status {
        StatusCode::OK if answer == probe::ANSWER => Finding::ok(check, format!("{url} takes our signature")),
        StatusCode::UNAUTHORIZED => {
            let advice = format!("give ingest the same {variable} and restart it, or set the clocks right");
            Finding::fail(check, format!("{url} does not take our signature"), advice)
        }
        StatusCode::NOT_FOUND => {
            let advice = format!("is this ingest's address (PUBLIC_URL), and has ingest its {variable}?");
            Finding::fail(check, format!("{url} leads nowhere (404)"), advice)
        }
        _ if status.is_redirection() => {
            let advice = "set PUBLIC_URL to where it leads: Calendly and Stripe follow no redirects";
            Finding::fail(check, format!("{url} redirects ({code})"), advice)
        }
        _ => {
            let advice = "something else than ingest answers there, or the proxy cannot reach it; check PUBLIC_URL";
            Finding::fail(check, format!("{url} answers {code} to a probe"), advice)
        }
    }
}

async fn send(url: &Url, key: &SecretString) -> Result<(StatusCode, String), String> {
    let told = |error: reqwest::Error| innermost(&error.without_url());
    let client = reqwest::Client::builder().connect_timeout(CONNECT).timeout(ANSWER);
    let client = client.redirect(reqwest::redirect::Policy::none()).build().map_err(told)?;
    let signature = probe::sign(key, Timestamp::now().as_second(), BODY.as_bytes());
    let signature = signature.map_err(|error| error.to_string())?;
    let request = client.post(url.clone()).header("Content-Type", "application/json").header(probe::HEADER, signature);
    let response = request.body(BODY).send().await.map_err(told)?;
    Ok((response.status(), response.text().await.map_err(told)?))
}

/// The innermost cause says most: "connection refused".
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
