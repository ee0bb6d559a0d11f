//! `calctl doctor`: all green when all is well; what is broken is told of in its own line, with what to do.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::calendly_api::{CalendlyDouble, TOKEN};
use tests::kafka::produce;
use tests::sandbox::{CALENDLY_SIGNING_KEY, Env, STRIPE_SECRET_KEY, STRIPE_WEBHOOK_SECRET};
use tests::{eventually, postgres, run_calctl};

use crate::world::{PATIENCE, World};

const EVENTS: [&str; 4] = ["invitee.created", "invitee.canceled", "invitee_no_show.created", "invitee_no_show.deleted"];
/// An address where nobody listens.
const NOBODY: &str = "127.0.0.1:9";
const CHECKS: [&str; 13] = [
    "configuration",
    "clock",
    "kafka",
    "kafka-topics",
    "kafka-group-processor",
    "kafka-group-retrier",
    "schema-registry",
    "postgres",
    "postgres-schema",
    "stripe",
    "stripe-webhooks",
    "calendly",
    "calendly-subscription",
];

/// The services, and a Calendly whose subscription delivers to them.
struct Clinic {
    world: World,
    calendly: CalendlyDouble,
    subscription: String,
    env: Env,
}

/// Status and words of each check.
type Findings = BTreeMap<String, (String, String)>;

impl Clinic {
    async fn open(name: &str) -> Self {
        let (world, calendly) = (World::start(name).await, CalendlyDouble::start().await);
        let public_url = world.sandbox.ingest_url();
        let subscription = calendly.add(&format!("{public_url}/webhooks/calendly"), &EVENTS);
        let mut env = world.env.clone();
        env.extend(calendly.env(&public_url));
        Self { world, calendly, subscription, env }
    }

    fn with(&self, changes: &[(&str, &str)]) -> Env {
        let mut env = self.env.clone();
        env.extend(changes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        env
    }
}

async fn doctor(env: &Env) -> (Option<i32>, Findings) {
    let output = run_calctl(&["doctor", "--output", "json"], env).await;
    let shown = format!("{output:?}");
    for secret in [TOKEN, CALENDLY_SIGNING_KEY, STRIPE_SECRET_KEY, STRIPE_WEBHOOK_SECRET, "a-secret"] {
        assert!(!shown.contains(secret), "{secret} is shown: {shown}");
    }
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{shown}"));
    let mut findings = Findings::new();
    for row in rows {
        let text = |field: &str| row[field].as_str().unwrap_or_default().to_owned();
        assert_eq!(row.as_object().unwrap().len(), 4, "{row}");
        let status = text("status");
        assert_eq!(row["advice"].is_string(), ["warn", "fail"].contains(&status.as_str()), "{row}");
        let words = format!("{}: {}", text("detail"), text("advice"));
        // Of several lines the worst counts, which is told of first.
        findings.entry(text("check")).or_insert((status, words));
    }
    (output.status.code(), findings)
}

/// Asks until nothing is wrong with the answer: on a machine that is busy, a check may run out of its time.
async fn settled(env: &Env, wrong: impl Fn(Option<i32>, &Findings) -> Option<String>) -> Findings {
    let until = Instant::now() + PATIENCE;
    loop {
        let (code, findings) = doctor(env).await;
        let Some(wrong) = wrong(code, &findings) else { return findings };
        assert!(Instant::now() < until, "{wrong}: {findings:#?}");
    }
}

/// The same, when one check is what matters.
async fn settled_as(env: &Env, check: &str, status: &str, says: &str) {
    settled(env, |_, findings| {
        let (found, words) = &findings[check];
        (found != status || !words.contains(says)).then(|| format!("{check} is not {status}, saying {says}"))
    })
    .await;
}

/// All is well but for what is not configured.
fn unlike_healthy(code: Option<i32>, findings: &Findings, skipped: &[&str]) -> Option<String> {
    let green = all(findings, "ok").len() + skipped.len() == findings.len() && all(findings, "skip") == skipped;
    (code != Some(0) || !green).then(|| format!("exit code {code:?}"))
}

/// The checks with this status.
fn all<'a>(findings: &'a Findings, status: &str) -> Vec<&'a str> {
    findings.iter().filter(|(_, (found, _))| found == status).map(|(check, _)| check.as_str()).collect()
}

#[tokio::test]
async fn all_is_green_when_all_is_well_and_nothing_is_published() {
    let clinic = Clinic::open("doctor").await;
    let findings = settled(&clinic.env, |code, findings| unlike_healthy(code, findings, &["schema-registry"])).await;
    for check in CHECKS.into_iter().chain(["ingest-calendly", "ingest-stripe"]) {
        assert!(findings.contains_key(check), "{check}");
    }
    for (check, words) in [("kafka", "1 broker"), ("stripe", "test mode"), ("kafka-group-retrier", "1 member")] {
        assert!(findings[check].1.contains(words), "{findings:#?}");
    }

    let output = eventually(PATIENCE, "a table that is green", async || {
        let output = run_calctl(&["doctor"], &clinic.env).await;
        output.status.success().then_some(output)
    })
    .await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), findings.len(), "{text}");
    assert!(text.lines().all(|line| line.starts_with("ok    ") || line.starts_with("skip  ")), "{text}");
    assert!(!text.contains('\x1b') && output.stderr.is_empty(), "{text}");

    // The probes reached ingest and went no further.
    for topic in ["calendly.events", "stripe.events", "calendly.events.due", "calendly.events.dlq"] {
        assert_eq!(clinic.world.records(topic).await.len(), 0, "{topic}");
    }
    let metrics = clinic.world.ingest.metrics().await;
    assert!(metrics.sum("webhook_request_duration_seconds_count", &[]) >= 4.0);
    assert!(metrics.sum("webhook_requests_total", &[]).abs() < f64::EPSILON);
    assert!(metrics.sum("webhook_key_matches_total", &[]).abs() < f64::EPSILON);
}

#[tokio::test]
async fn what_is_not_configured_is_no_failure() {
    let clinic = Clinic::open("doctor-bare").await;
    let skipped = ["calendly", "ingest-calendly", "schema-registry"];
    settled(&clinic.world.env, |code, findings| unlike_healthy(code, findings, &skipped)).await;
}

/// An HTTP server whose clock stands still, and that is no ingest.
fn of_another_time() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let answer = "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nConnection: close\r\n\
                          Content-Length: 2\r\n\r\nhi";
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    url
}

/// What is set otherwise, what fails then and says what, and what cannot be looked at.
type Case<'a> = (Vec<(&'a str, &'a str)>, Vec<(&'a str, &'a str)>, Vec<&'a str>);

#[tokio::test]
async fn what_is_broken_is_told_of_and_the_rest_stays_green() {
    let clinic = Clinic::open("doctor-broken").await;
    let healthy = settled(&clinic.env, |code, findings| unlike_healthy(code, findings, &["schema-registry"])).await;
    let (nobody_http, past) = (format!("http://{NOBODY}"), of_another_time());
    let empty = postgres::create_database(clinic.world.sandbox.database_url(), "doctor-empty").await;
    let no_database = format!("postgres://u:a-secret@{NOBODY}/d");
    // What is changed, what fails and what it says, and what cannot be looked at then.
    let groups = ["kafka-group-processor", "kafka-group-retrier"];
    let cases: Vec<Case<'_>> = vec![
        (vec![("KAFKA_BROKERS", NOBODY)], vec![("kafka", "KAFKA_BROKERS")], vec!["kafka-topics", groups[0], groups[1]]),
        (vec![("TOPIC_PARTITIONS", "7")], vec![("kafka-topics", "TOPIC_PARTITIONS=3")], vec![]),
        (vec![("RETRY_DELAYS", "300ms,600ms,900ms,7m")], vec![("kafka-topics", "calctl topics apply")], vec![]),
        (vec![("DATABASE_URL", &no_database)], vec![("postgres", "DATABASE_URL")], vec!["postgres-schema"]),
        (vec![("DATABASE_URL", &empty)], vec![("postgres-schema", "calctl db migrate")], vec![]),
        (vec![("STRIPE_API_BASE", &nobody_http)], vec![("stripe", "STRIPE_API_BASE")], vec![]),
        (vec![("STRIPE_SECRET_KEY", "sk_test_a-secret")], vec![("stripe", "STRIPE_SECRET_KEY")], vec![]),
        (vec![("CALENDLY_TOKEN", "a-secret")], vec![("calendly", "CALENDLY_TOKEN")], vec!["calendly-subscription"]),
        (vec![("SCHEMA_REGISTRY_URL", &nobody_http)], vec![("schema-registry", "SCHEMA_REGISTRY_URL")], vec![]),
        (vec![("WEBHOOK_TOLERANCE", "180")], vec![("configuration", "WEBHOOK_TOLERANCE")], vec![]),
        (vec![("CALENDLY_SIGNING_KEYS", "a-secret")], vec![("ingest-calendly", "CALENDLY_SIGNING_KEYS")], vec![]),
        (vec![("STRIPE_WEBHOOK_SECRETS", "a-secret")], vec![("ingest-stripe", "STRIPE_WEBHOOK_SECRETS")], vec![]),
        (
            vec![("PUBLIC_URL", &nobody_http)],
            vec![
                ("ingest-calendly", "PUBLIC_URL"),
                ("ingest-stripe", "PUBLIC_URL"),
                ("calendly-subscription", "calctl webhooks ensure"),
            ],
            vec![],
        ),
        (
            vec![("PUBLIC_URL", &past)],
            vec![
                ("clock", "NTP"),
                ("ingest-calendly", "something else than ingest"),
                ("ingest-stripe", "something else than ingest"),
                ("calendly-subscription", "none delivers to"),
            ],
            vec![],
        ),
    ];
    for (changes, failing, unseen) in cases {
        settled(&clinic.with(&changes), |code, findings| {
            let expected = |check: &str| {
                let failure = failing.iter().find(|(name, _)| *name == check);
                let spared = if unseen.contains(&check) { "skip" } else { healthy[check].0.as_str() };
                failure.map_or((spared, ""), |(_, says)| ("fail", *says))
            };
            let odd = findings.iter().find(|(check, (status, words))| {
                let (wanted, says) = expected(check);
                status != wanted || !words.contains(says)
            });
            let all_told = failing.iter().all(|(check, _)| findings.contains_key(*check));
            let wrong = odd.is_some() || !all_told || code != Some(1);
            wrong.then(|| format!("{changes:?}, exit code {code:?}, {odd:?}"))
        })
        .await;
    }
}

#[tokio::test]
async fn what_goes_wrong_at_calendly_and_in_the_services_is_seen() {
    let clinic = Clinic::open("doctor-services").await;
    let (env, check) = (&clinic.env, "calendly-subscription");
    clinic.calendly.retrying_since(&clinic.subscription, Some("2026-03-01T10:00:00.123456Z"));
    settled_as(env, check, "warn", "failing since 2026-03-01T10:00:00Z").await;
    clinic.calendly.disable(&clinic.subscription);
    settled_as(env, check, "fail", "disabled").await;

    // Nobody reads: worth a word, and bad once something waits.
    let check = "kafka-group-retrier";
    clinic.world.retrier.sigterm();
    clinic.world.retrier.wait_exit(PATIENCE).await;
    settled_as(env, check, "warn", "start a retrier").await;
    let tier = clinic.world.sandbox.topic("calendly.events.retry.600ms");
    produce(clinic.world.sandbox.brokers(), &tier, Some(b"key"), b"value", &[]).await;
    settled_as(env, check, "fail", "waiting: 1 record:").await;
}

/// Servers that take connections and say nothing, which is worse than none.
#[tokio::test]
async fn it_ends_in_time_when_nothing_answers() {
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = deaf.local_addr().unwrap().to_string();
    let http = format!("http://{addr}");
    let database = format!("postgres://u:a-secret@{addr}/d");
    let pairs = [
        ("KAFKA_BROKERS", addr.as_str()),
        ("DATABASE_URL", &database),
        ("STRIPE_API_BASE", &http),
        ("STRIPE_SECRET_KEY", STRIPE_SECRET_KEY),
        ("STRIPE_WEBHOOK_SECRETS", STRIPE_WEBHOOK_SECRET),
        ("SCHEMA_REGISTRY_URL", &http),
        ("CALENDLY_API_BASE", &http),
        ("CALENDLY_TOKEN", TOKEN),
        ("PUBLIC_URL", &http),
        ("CALENDLY_SIGNING_KEYS", CALENDLY_SIGNING_KEY),
        ("CHECKOUT_SUCCESS_URL", "https://shop.example/"),
        ("CHECKOUT_CANCEL_URL", "https://shop.example/"),
    ];
    let env: Env = pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let began = Instant::now();
    let (code, findings) = doctor(&env).await;
    // One deadline, of ten seconds, and not their sum of nearly a minute; the rest is for a machine that is busy.
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert_eq!((code, all(&findings, "ok")), (Some(1), vec!["configuration", "stripe-webhooks"]), "{findings:#?}");
    for check in ["kafka", "postgres", "stripe", "schema-registry", "calendly", "ingest-calendly", "ingest-stripe"] {
        assert_eq!(findings[check].0, "fail", "{check}: {findings:#?}");
    }
}
