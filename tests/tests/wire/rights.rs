//! The statements and commands of docs/OPERATIONS.md: what they allow is enough, and of the database's roles no more than
//! that.

use tests::calendly::Invitee;
use tests::calendly_api::CalendlyDouble;
use tests::kafka::run_tool;
use tests::sandbox::{Env, NO_STRIPE};
use tests::shared::shared;
use tests::{Binary, Sandbox, Service, postgres, run_calctl};

use crate::kafka::Secure;
use crate::{PATIENCE, blocking};

const DOCUMENT: &str = include_str!("../../../docs/OPERATIONS.md");

/// The blocks of one language.
fn blocks(language: &str) -> Vec<&'static str> {
    let parts = DOCUMENT.split(&format!("```{language}\n")[..]).skip(1).collect::<Vec<_>>();
    parts.into_iter().filter_map(|rest| rest.split("```").next()).collect()
}

async fn calctl(args: &[&str], env: &Env) -> (Option<i32>, String) {
    let output = run_calctl(args, env).await;
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// What the doctor says: status and words.
async fn diagnosis(env: &Env, check: &str) -> (String, String) {
    let output = run_calctl(&["doctor", "--output", "json"], env).await;
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).expect("the output is JSON");
    let row = rows.iter().find(|row| row["check"] == check).unwrap_or_else(|| panic!("{check} in {rows:?}"));
    (row["status"].as_str().unwrap().to_owned(), row["detail"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn the_roles_of_the_database_have_what_they_need() {
    let superuser = &blocking(shared).await.database_url;
    let sandbox = Sandbox::new("roles").await;
    // Other tests have the same server: the names are this test's own.
    let suffix = format!("{:08x}", rand::random::<u32>());
    let database = format!("calendly_{suffix}");
    let own = |text: &str| {
        let roles = ["owner", "processor", "reader"]
            .iter()
            .fold(text.to_owned(), |text, role| text.replace(&format!("calendly_{role}"), &format!("{role}_{suffix}")));
        roles.replace("DATABASE calendly", &format!("DATABASE {database}"))
    };
    let (_, server) = superuser.rsplit_once('@').unwrap();
    let server = server.split('/').next().unwrap();
    let url = |role: &str| format!("postgres://{role}_{suffix}:change-me-{role}@{server}/{database}");
    let [before, rights, reader]: [&str; 3] = blocks("sql").try_into().expect("three blocks of SQL");

    let client = postgres::connect(superuser).await;
    for statement in own(before).split(";\n").filter(|statement| !statement.trim().is_empty()) {
        client.batch_execute(statement).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    }
    postgres::connect(&url("owner")).await.batch_execute(&own(rights)).await.unwrap();

    let mut env = sandbox.env(NO_STRIPE);
    env.insert("DATABASE_URL".to_owned(), url("processor"));
    let (code, said) = calctl(&["db", "migrate"], &env).await;
    assert!(code == Some(1) && said.contains("SQLSTATE 42501"), "only the owner makes tables: {said}");
    env.insert("DATABASE_URL".to_owned(), url("owner"));
    assert_eq!(calctl(&["db", "migrate"], &env).await, (Some(0), String::new()));
    postgres::connect(&url("owner")).await.batch_execute(&own(reader)).await.unwrap();

    env.insert("DATABASE_URL".to_owned(), url("processor"));
    assert_eq!(calctl(&["db", "migrate"], &env).await, (Some(0), String::new()), "there is nothing to do");
    assert_eq!(calctl(&["prices", "set", "https://api.calendly.com/event_types/A", "free"], &env).await.0, Some(0));
    let processor = Service::spawn(Binary::Processor, &env);
    processor.wait_ready(PATIENCE).await;
    for check in ["postgres", "postgres-schema"] {
        assert_eq!(diagnosis(&env, check).await.0, "ok", "{check}");
    }
    let as_processor = postgres::connect(&url("processor")).await;
    for table in ["bookings", "booking_events", "stripe_operations", "stray_facts", "checkout_requests"] {
        let changes = format!("DELETE FROM {table}");
        as_processor.batch_execute(&changes).await.unwrap_or_else(|error| panic!("{changes}: {error:?}"));
    }
    for forbidden in ["DROP TABLE bookings", "CREATE TABLE mine (id int)", "TRUNCATE bookings"] {
        assert!(as_processor.batch_execute(forbidden).await.is_err(), "{forbidden}");
    }

    client.batch_execute(&format!("ALTER ROLE reader_{suffix} LOGIN PASSWORD 'change-me-reader'")).await.unwrap();
    env.insert("DATABASE_URL".to_owned(), url("reader").replace("change-me-reader", "another"));
    let (status, words) = diagnosis(&env, "postgres").await;
    assert!(status == "fail" && words.contains("wrong user or password"), "{status} {words}");
    let as_reader = postgres::connect(&url("reader")).await;
    as_reader.batch_execute("INSERT INTO bookings (id, reference) VALUES (gen_random_uuid(), 'mine')").await.unwrap();
    assert_eq!(as_reader.query("SELECT * FROM bookings", &[]).await.unwrap().len(), 1);
    for forbidden in ["DELETE FROM bookings", "UPDATE bookings SET status = 'PAID'", "SELECT * FROM booking_events"] {
        assert!(as_reader.batch_execute(forbidden).await.is_err(), "{forbidden}");
    }
}

#[tokio::test]
async fn the_users_of_kafka_have_what_they_need() {
    let secure = Secure::start("acls").await;
    let commands: Vec<Vec<String>> = blocks("sh")
        .concat()
        .lines()
        .filter_map(|line| line.strip_prefix("kafka-acls "))
        .map(|arguments| arguments.split(' ').map(str::to_owned).collect())
        .collect();
    assert!(commands.len() > 10, "the document has its commands");
    let brokers = secure.kafka.brokers().to_owned();
    let added = blocking(move || {
        let add = |arguments: Vec<String>| {
            let arguments = [vec!["--bootstrap-server".to_owned(), brokers.clone()], arguments].concat();
            (arguments.join(" "), run_tool("org.apache.kafka.tools.AclCommand", &arguments))
        };
        commands.into_iter().map(add).collect::<Vec<_>>()
    })
    .await;
    for (command, output) in added {
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    }

    let env_of = |user: &str| {
        let mut env = secure.env_of(user);
        // The names of the document.
        env.remove("TOPIC_PREFIX");
        env.insert("KAFKA_CREATE_TOPICS".to_owned(), "false".to_owned());
        env
    };
    let (code, said) = calctl(&["topics", "apply"], &env_of("operator")).await;
    assert_eq!(code, Some(0), "{said}");
    let services = [Binary::Ingest, Binary::Processor, Binary::Retrier];
    let services = services.map(|binary| Service::spawn(binary, &env_of(binary.name())));
    for service in &services {
        service.wait_ready(PATIENCE).await;
    }
    secure.book().await;
    let (code, said) = calctl(&["audit"], &env_of("operator")).await;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(calctl(&["dlq", "list"], &env_of("operator")).await.0, Some(0));
    for check in ["kafka", "kafka-topics", "kafka-group-processor", "kafka-group-retrier"] {
        let (status, words) = diagnosis(&env_of("operator"), check).await;
        assert_eq!(status, "ok", "{check}: {words}");
    }
    let (status, words) = diagnosis(&env_of("ingest"), "kafka-topics").await;
    assert!(status == "warn" && words.contains("settings cannot be read"), "{status} {words}");
    let (status, words) = diagnosis(&env_of("ingest"), "kafka-group-processor").await;
    assert!(status == "fail" && words.contains("may not look at the group"), "{status} {words}");
    let (status, words) = diagnosis(&secure.env_of("retrier"), "kafka-topics").await;
    assert!(status == "fail" && words.contains("forbidden to this user"), "a prefix that is not its own: {words}");
    let double = CalendlyDouble::start().await;
    double.book(&Invitee::random());
    let backfill = async |user: &str| {
        let mut env = env_of(user);
        env.extend(double.env("https://hooks.example"));
        calctl(&["backfill", "--since", "1h"], &env).await
    };
    let (code, said) = backfill("operator").await;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(backfill("retrier").await.0, Some(1), "retrier may not write events");
    // An empty topic is read without a right to read it; the events are not empty.
    let (code, said) = calctl(&["audit"], &env_of("ingest")).await;
    assert_eq!(code, Some(1), "ingest may not read events: {said}");
}
