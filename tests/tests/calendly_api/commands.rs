//! `calctl webhooks` as a process: output, JSON, exit code.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};
use tests::calendly_api::{CalendlyDouble, Fault, GROUP, TOKEN, USER};
use tests::run_calctl;
use tests::sandbox::Env;

use crate::CALLBACK;

const PUBLIC_URL: &str = "https://hooks.example";

fn env(double: &CalendlyDouble) -> Env {
    double.env(PUBLIC_URL).into()
}

async fn webhooks(env: &Env, args: &[&str]) -> Output {
    let output = run_calctl(&[&["webhooks"], args].concat(), env).await;
    for text in [&output.stdout, &output.stderr] {
        assert!(!String::from_utf8_lossy(text).contains(TOKEN), "the token is shown: {output:?}");
    }
    output
}

async fn json_of(env: &Env, args: &[&str]) -> Value {
    let output = webhooks(env, &[args, &["--output", "json"]].concat()).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

async fn text_of(env: &Env, args: &[&str]) -> String {
    let output = webhooks(env, args).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The one line with which a command fails.
async fn failure_of(env: &Env, args: &[&str]) -> String {
    let output = webhooks(env, args).await;
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!((output.status.code(), stderr.lines().count()), (Some(1), 1), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    stderr
}

#[tokio::test]
async fn list_shows_every_page_of_a_scope() {
    let double = CalendlyDouble::start().await;
    let env = env(&double);
    assert_eq!(json_of(&env, &["list"]).await, json!([]));
    for number in 0..250 {
        double.add(&format!("https://hooks.example/{number}"), &["invitee.created"]);
    }
    let first = double.subscriptions()[0]["uri"].as_str().unwrap().to_owned();
    double.disable(&first);
    double.retrying_since(&first, Some("2026-03-01T10:00:00.123456Z"));
    let rows = json_of(&env, &["list"]).await;
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), 250);
    let expected = json!({
        "uri": first, "callback_url": "https://hooks.example/0", "state": "disabled", "events": ["invitee.created"],
        "scope": "organization", "organization": tests::calendly_api::ORGANIZATION, "user": null, "group": null,
        "created_at": double.subscriptions()[0]["created_at"], "retry_started_at": "2026-03-01T10:00:00.123456Z",
    });
    assert_eq!(rows[0], expected);
    let text = text_of(&env, &["list"]).await;
    assert_eq!(text.lines().count(), 251);
    assert!(text.starts_with("URI"), "{text}");
    assert!(text.contains("disabled  2026-03-01T10:00:00.123456Z  https://hooks.example/0"), "{text}");
    assert_eq!(json_of(&env, &["list", "--scope", "user"]).await, json!([]));
}

#[tokio::test]
async fn ensure_makes_a_key_once_and_does_nothing_twice() {
    let double = CalendlyDouble::start().await;
    let env = env(&double);
    let planned = json_of(&env, &["ensure", "--dry-run"]).await;
    let expected = json!({
        "dry_run": true, "outcome": "created", "callback_url": CALLBACK, "subscription": null, "deleted": [],
        "signing_key": null, "signing_key_file": null,
    });
    assert_eq!((planned, double.subscriptions().len()), (expected, 0));

    let done = json_of(&env, &["ensure"]).await;
    let key = done["signing_key"].as_str().unwrap();
    assert_eq!((done["outcome"].as_str(), done["dry_run"].as_bool(), key.len()), (Some("created"), Some(false), 64));
    let uri = done["subscription"]["uri"].as_str().unwrap();
    assert_eq!(double.signing_key(uri).as_deref(), Some(key));
    assert_eq!(done["subscription"]["state"], "active");

    let again = json_of(&env, &["ensure"]).await;
    assert_eq!((&again["outcome"], &again["signing_key"]), (&json!("unchanged"), &json!(null)));
    assert!(text_of(&env, &["ensure"]).await.contains("is as it should be"));

    double.disable(uri);
    let planned = text_of(&env, &["ensure", "--dry-run"]).await;
    assert!(planned.contains("would be created in place of another") && planned.contains(uri), "{planned}");
    let replaced = text_of(&env, &["ensure"]).await;
    assert!(replaced.contains("shown this once") && replaced.contains(&format!("{uri} is deleted")), "{replaced}");
    assert_eq!(double.subscriptions().len(), 1);
}

#[tokio::test]
async fn a_key_goes_into_a_file_for_its_owner_alone() {
    let double = CalendlyDouble::start().await;
    let env = env(&double);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let arguments = ["ensure", "--signing-key-file", path.to_str().unwrap()];
    json_of(&env, &[&arguments[..], &["--dry-run"]].concat()).await;
    assert!(!path.exists());
    let done = json_of(&env, &arguments).await;
    assert_eq!((&done["signing_key"], &done["signing_key_file"]), (&json!(null), &json!(path)));
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let key = std::fs::read_to_string(&path).unwrap().trim_end().to_owned();
    let key_of = |done: &Value| double.signing_key(done["subscription"]["uri"].as_str().unwrap());
    assert_eq!(key_of(&done), Some(key.clone()));
    // A file that is there is not written to; its key is used.
    let renewed = json_of(&env, &[&arguments[..], &["--renew"]].concat()).await;
    assert_eq!((&renewed["outcome"], key_of(&renewed)), (&json!("replaced"), Some(key)));
    let nowhere = folder.path().join("no/key");
    let failure = failure_of(&env, &["ensure", "--renew", "--signing-key-file", nowhere.to_str().unwrap()]).await;
    assert!(failure.contains("cannot write the signing key"), "{failure}");
}

#[tokio::test]
async fn register_makes_one_of_any_scope() {
    let double = CalendlyDouble::start().await;
    let mut env = env(&double);
    env.insert("CALENDLY_SIGNING_KEYS".to_owned(), "first,second".to_owned());
    let done = json_of(&env, &["register", "--scope", "user", "--event", "invitee.created"]).await;
    let (made, key) = (&done["subscription"], double.signing_key(done["subscription"]["uri"].as_str().unwrap()));
    assert_eq!(
        (&made["scope"], &made["user"], &made["events"]),
        (&json!("user"), &json!(USER), &json!(["invitee.created"]))
    );
    // A key that the operator has is not printed.
    assert_eq!((key.as_deref(), &done["signing_key"]), (Some("first"), &json!(null)));
    let group = ["register", "--group", GROUP, "--url", "https://hooks.example/group"];
    let planned = json_of(&env, &[&group[..], &["--dry-run"]].concat()).await;
    assert_eq!((&planned["callback_url"], double.subscriptions().len()), (&json!("https://hooks.example/group"), 1));
    assert_eq!(json_of(&env, &group).await["subscription"]["group"], GROUP);
    assert!(failure_of(&env, &["register"]).await.contains("exists already"));
}

#[tokio::test]
async fn delete_takes_the_uri_of_one_that_is_there() {
    let double = CalendlyDouble::start().await;
    let env = env(&double);
    let uri = double.add(CALLBACK, &["invitee.created"]);
    let planned = json_of(&env, &["delete", &uri, "--dry-run"]).await;
    assert_eq!(planned, json!({ "uri": uri, "callback_url": CALLBACK, "dry_run": true }));
    assert_eq!(double.subscriptions().len(), 1);
    assert!(text_of(&env, &["delete", &uri]).await.contains("is deleted"));
    assert!(double.subscriptions().is_empty());
    assert!(failure_of(&env, &["delete", &uri]).await.contains("no such thing"));
}

#[tokio::test]
async fn every_failure_is_a_line_that_says_what_to_do() {
    let double = CalendlyDouble::start().await;
    let good = env(&double);
    let with = |name: &str, value: &str| {
        let mut env = good.clone();
        env.insert(name.to_owned(), value.to_owned());
        env
    };
    for (env, says) in [
        (with("CALENDLY_TOKEN", ""), "CALENDLY_TOKEN"),
        (with("CALENDLY_TOKEN", "another"), "CALENDLY_TOKEN"),
        (with("PUBLIC_URL", ""), "PUBLIC_URL"),
        (with("PUBLIC_URL", "hooks.example"), "PUBLIC_URL"),
        (with("CALENDLY_SCOPE", "group"), "CALENDLY_GROUP"),
        (with("CALENDLY_SCOPE", "everybody"), "CALENDLY_SCOPE"),
        (with("CALENDLY_API_BASE", "http://127.0.0.1:9"), "CALENDLY_API_BASE"),
    ] {
        let line = failure_of(&env, &["ensure"]).await;
        assert!(line.contains(says), "{says} in {line}");
    }
    double.plan_has_webhooks(false);
    assert!(failure_of(&good, &["ensure"]).await.contains("plan has no webhooks"));
    double.plan_has_webhooks(true);
    double.owner_is_admin(false);
    assert!(failure_of(&good, &["list"]).await.contains("CALENDLY_SCOPE"));
    double.inject("GET", "/users/me", Fault::NoJson);
    assert!(failure_of(&good, &["list"]).await.contains("no JSON"));
    for wrong in
        [&["list", "--scope", "everybody"][..], &["delete"], &["delete", "https://a/b"], &["ensure", "--url", "x"]]
    {
        assert_eq!(webhooks(&good, wrong).await.status.code(), Some(2), "{wrong:?}");
    }
}

#[tokio::test]
async fn a_rate_limit_is_waited_for() {
    let double = CalendlyDouble::start().await;
    for number in 0..250 {
        double.add(&format!("https://hooks.example/{number}"), &["invitee.created"]);
    }
    double.limit_rate(2, Duration::from_secs(1));
    assert_eq!(json_of(&env(&double), &["list"]).await.as_array().unwrap().len(), 250);
}
