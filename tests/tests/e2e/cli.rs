//! calctl's command line: what every command has, and those commands that need no services.

use std::process::Output;

use serde_json::{Value, json};
use tests::sandbox::{Env, NO_STRIPE};
use tests::{Sandbox, run_calctl};

async fn stdout_of(args: &[&str], env: &Env) -> String {
    let Output { status, stdout, stderr } = run_calctl(args, env).await;
    let said = String::from_utf8_lossy(&stderr);
    assert!(status.success() && stderr.is_empty(), "{args:?}: {status} {said}");
    String::from_utf8(stdout).unwrap()
}

async fn json_of(args: &[&str], env: &Env) -> Value {
    serde_json::from_str(&stdout_of(&[args, &["--output", "json"]].concat(), env).await).unwrap()
}

async fn code_of(args: &[&str], env: &Env) -> Option<i32> {
    run_calctl(args, env).await.status.code()
}

#[tokio::test]
async fn the_reference_is_what_the_command_line_says_of_itself() {
    let made = stdout_of(&["reference"], &Env::new()).await;
    let committed = include_str!("../../../docs/CLI.md");
    assert!(made == committed, "docs/CLI.md is another; run `make cli-docs`");
    let sections: Vec<&str> = made.split("\n## ").skip(1).collect();
    assert!(sections.len() > 15, "{made}");
    for section in sections {
        let name = section.lines().next().unwrap();
        assert!(section.contains("\nExample") && section.contains("```sh\n"), "{name} shows no example (after_help)");
        let args: Vec<&str> = name.split(' ').skip(1).chain(["--help"]).collect();
        let help = stdout_of(&args, &Env::new()).await;
        assert!(help.contains(&format!("Usage: {name}")) && help.contains("Example"), "{name}: {help}");
    }
}

#[tokio::test]
async fn shells_and_man_are_served() {
    let env = Env::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = stdout_of(&["completions", shell], &env).await;
        assert!(script.contains("replay") && script.contains("doctor"), "{shell}: {script}");
    }
    assert_eq!(code_of(&["completions", "cmd"], &env).await, Some(2));
    assert!(stdout_of(&["man"], &env).await.contains(".TH calctl 1"));
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    assert_eq!(stdout_of(&["man", pages.to_str().unwrap()], &env).await, "");
    let page = std::fs::read_to_string(pages.join("calctl-dlq-replay.1")).unwrap();
    assert!(page.contains("dry\\-run"), "{page}");
    std::fs::write(folder.path().join("file"), "").unwrap();
    let taken = folder.path().join("file/man1");
    assert_eq!(code_of(&["man", taken.to_str().unwrap()], &env).await, Some(1));
}

#[tokio::test]
async fn wrong_usage_is_told_from_failure() {
    let env = Env::new();
    for wrong in
        [&[][..], &["nothing"], &["topics"], &["prices", "set", "a", "5 dollars"], &["doctor", "--output", "xml"]]
    {
        assert_eq!(code_of(wrong, &env).await, Some(2), "{wrong:?}");
    }
    // What is missing is one line that names it.
    for (args, variable) in [
        (&["topics", "apply"][..], "KAFKA_BROKERS"),
        (&["schemas", "apply"], "SCHEMA_REGISTRY_URL"),
        (&["db", "migrate"], "DATABASE_URL"),
        (&["prices", "list"], "DATABASE_URL"),
        (&["bookings", "show", "a"], "DATABASE_URL"),
        (&["dlq", "list"], "KAFKA_BROKERS"),
        (&["audit"], "KAFKA_BROKERS"),
        (&["webhooks", "list"], "CALENDLY_TOKEN"),
        (&["simulate", "--url", "http://127.0.0.1:9"], "CALENDLY_SIGNING_KEYS"),
    ] {
        let output = run_calctl(args, &env).await;
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{args:?}: {said}");
        assert!(said.contains(variable) && output.stdout.is_empty(), "{args:?}: {said}");
    }
}

#[tokio::test]
async fn topics_and_migrations_are_made_once() {
    let sandbox = Sandbox::new("cli-setup").await;
    let env = sandbox.env(NO_STRIPE);
    let names = [
        "calendly.events",
        "stripe.events",
        "calendly.events.retry.300ms",
        "calendly.events.retry.600ms",
        "calendly.events.retry.900ms",
        "calendly.events.due",
        "calendly.events.dlq",
        "bookings.changes",
    ];
    let rows = |state: &str| {
        let row = |name: &&str| json!({ "topic": sandbox.topic(name), "state": state });
        Value::Array(names.iter().map(row).collect())
    };
    assert_eq!(json_of(&["topics", "apply"], &env).await, rows("created"));
    assert_eq!(json_of(&["topics", "apply"], &env).await, rows("present"));
    let text = stdout_of(&["topics", "apply"], &env).await;
    assert!(text.starts_with("TOPIC") && text.lines().count() == 1 + names.len(), "{text}");

    let applied = json_of(&["db", "migrate"], &env).await;
    assert!(applied["applied"].as_u64().is_some_and(|applied| applied > 0), "{applied}");
    assert_eq!(json_of(&["db", "migrate"], &env).await, json!({ "applied": 0 }));
    assert_eq!(stdout_of(&["db", "migrate"], &env).await, "the schema is up to date\n");
}

#[tokio::test]
async fn prices_and_bookings_are_shown() {
    const TYPE: &str = "https://api.calendly.com/event_types/AAAA";
    let sandbox = Sandbox::new("cli-prices").await;
    let env = sandbox.env(NO_STRIPE);
    json_of(&["db", "migrate"], &env).await;
    assert_eq!(json_of(&["prices", "list"], &env).await, json!([]));
    let set = json!({ "event_type_uri": TYPE, "price": "5000 usd", "amount_minor": 5000, "currency": "usd" });
    assert_eq!(json_of(&["prices", "set", TYPE, "5000 usd"], &env).await, set);
    assert_eq!(json_of(&["prices", "list"], &env).await, json!([set]));
    assert_eq!(stdout_of(&["prices", "set", TYPE, "free"], &env).await, format!("{TYPE} costs free\n"));
    let text = stdout_of(&["prices", "list"], &env).await;
    assert!(text.starts_with("EVENT TYPE") && text.lines().count() == 2 && text.contains("free"), "{text}");

    let database = sandbox.database().await;
    let row = "INSERT INTO bookings (id, reference) VALUES (gen_random_uuid(), 'order-1') RETURNING id::text";
    let id: String = database.query_one(row, &[]).await.unwrap().get(0);
    let shown = json_of(&["bookings", "show", "order-1"], &env).await;
    assert_eq!((shown.as_array().map(Vec::len), shown[0]["id"].as_str()), (Some(1), Some(id.as_str())), "{shown}");
    assert!(stdout_of(&["bookings", "show", &id], &env).await.contains("order-1"));
    let nobody = run_calctl(&["bookings", "show", "order-2"], &env).await;
    let said = String::from_utf8(nobody.stderr).unwrap();
    assert!(
        nobody.status.code() == Some(1) && said.contains("no booking is known") && nobody.stdout.is_empty(),
        "{said}"
    );
}
