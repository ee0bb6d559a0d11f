//! Clocks: signatures carry times, retries are due at times, and Stripe's sessions end at times.
//!
//! Kafka is not among them: a broker tells its time only to those who write.

use std::time::Duration;

use calendly::{ApiConfig, Url, callback_url};
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reqwest::header::DATE;
use runtime::env::Env;

use super::finding::Finding;
use super::stripe;
use crate::database;

const CHECK: &str = "clock";
const DEFAULT_TOLERANCE: Duration = Duration::from_mins(3);
const RED: f64 = 120.0;
const YELLOW: f64 = 30.0;
const ANSWER: Duration = Duration::from_secs(5);

/// Whose clock, and how many seconds it is ahead of ours.
type Skew = (&'static str, f64);

pub(super) async fn check(env: &Env) -> Vec<Finding> {
    let stripe = stripe::config(env).ok().flatten().map(|config| config.api_base);
    let calendly = ApiConfig::from_env(env).ok().flatten().map(|config| config.base);
    let ingest = callback_url(env).ok().flatten();
    let (postgres, stripe, calendly, ingest) = tokio::join!(
        of_database(env),
        of_server("Stripe", stripe),
        of_server("Calendly", calendly),
        of_server("ingest", ingest)
    );
    let skews: Vec<Skew> = [postgres, stripe, calendly, ingest].into_iter().flatten().collect();
    // A tolerance that cannot be read is told of elsewhere.
    let tolerance = env.duration("WEBHOOK_TOLERANCE", DEFAULT_TOLERANCE).unwrap_or(DEFAULT_TOLERANCE);
    vec![judged(&skews, tolerance)]
}

fn judged(skews: &[Skew], tolerance: Duration) -> Finding {
    let worst = skews.iter().map(|(_, ahead)| ahead.abs()).fold(0.0, f64::max);
    let told: Vec<String> = skews.iter().map(|(who, ahead)| format!("{who} {ahead:+.1} s")).collect();
    let detail = format!("against this machine: {}", told.join(", "));
    let red = RED.min(tolerance.as_secs_f64());
    let advice = "synchronise the clocks (NTP) of this machine and of the services";
    if skews.is_empty() {
        Finding::skip(CHECK, "nobody answers to compare with")
    } else if worst > red {
        Finding::fail(CHECK, detail, format!("{advice}: signatures are refused beyond {} s", tolerance.as_secs()))
    } else if worst > YELLOW.min(red / 2.0) {
        Finding::warn(CHECK, detail, advice)
    } else {
        Finding::ok(CHECK, detail)
    }
}

async fn of_database(env: &Env) -> Option<Skew> {
    let store = database::store(env).ok()?;
    // A connection first: it takes longer than the question.
    store.ping().await.ok()?;
    let asked = Timestamp::now();
    let theirs = store.clock().await.ok()?;
    Some(("PostgreSQL", ahead(asked, theirs.as_duration().as_secs_f64())))
}

/// Any answer has a date, a refusal too.
async fn of_server(who: &'static str, url: Option<Url>) -> Option<Skew> {
    let client = reqwest::Client::builder().timeout(ANSWER).redirect(reqwest::redirect::Policy::none());
    let (client, url) = (client.build().ok()?, url?);
    let asked = Timestamp::now();
    let response = client.get(url).send().await.ok()?;
    let date = response.headers().get(DATE)?.to_str().ok()?;
    let date = rfc2822::DateTimeParser::new().parse_timestamp(date).ok()?;
    // It has whole seconds, cut off.
    Some((who, ahead(asked, date.as_duration().as_secs_f64() + 0.5)))
}

/// The answer was made halfway between question and now, as far as one can know.
fn ahead(asked: Timestamp, theirs: f64) -> f64 {
    let (asked, now) = (asked.as_duration().as_secs_f64(), Timestamp::now().as_duration().as_secs_f64());
    theirs - f64::midpoint(asked, now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Status;

    #[test]
    fn the_tolerance_of_signatures_counts() {
        for (ahead, tolerance, status) in [
            (0.4, 180, Status::Ok),
            (-31.0, 180, Status::Warn),
            (121.0, 180, Status::Fail),
            (-20.0, 30, Status::Warn),
            (31.0, 30, Status::Fail),
        ] {
            let finding = judged(&[("Stripe", 0.0), ("ingest", ahead)], Duration::from_secs(tolerance));
            assert_eq!(finding.status, status, "{ahead} {tolerance}");
            assert!(finding.detail.contains("Stripe +0.0 s, ingest"), "{}", finding.detail);
        }
        assert_eq!(judged(&[], DEFAULT_TOLERANCE).status, Status::Skip);
    }
}
