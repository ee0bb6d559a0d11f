//! The harness itself: what every other test takes for granted.

use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use tests::kafka::{Isolation, Kafka, create_topic, produce, read_all, wait_for};
use tests::postgres::{Durability, Postgres, connect};
use tests::process::{Signal, send};
use tests::proxy::Proxy;
use tests::shared::{DATABASE_VARIABLE, KAFKA_VARIABLE};
use tests::{Sandbox, eventually, rundir};

const DEADLINE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn records_are_read_back_as_they_were_written() {
    let sandbox = Sandbox::new("records").await;
    let topic = sandbox.topic("letters");
    let waiting = tokio::spawn({
        let (brokers, topic) = (sandbox.brokers().to_owned(), topic.clone());
        // Starts before the topic exists.
        async move { wait_for(&brokers, &topic, DEADLINE, |messages| messages.len() == 3).await }
    });
    create_topic(sandbox.brokers(), &topic, 3).await;
    for value in ["first", "second"] {
        produce(sandbox.brokers(), &topic, Some(b"key"), value.as_bytes(), &[("error", b"none")]).await;
    }
    produce(sandbox.brokers(), &topic, None, b"", &[]).await;

    let messages = read_all(sandbox.brokers(), &topic, Isolation::Committed).await;
    let keyed: Vec<_> = messages.iter().filter(|message| message.key_str() == Some("key")).collect();
    assert_eq!(messages.len(), 3);
    assert_eq!(keyed.iter().map(|message| &message.value[..]).collect::<Vec<_>>(), [&b"first"[..], b"second"]);
    assert_eq!(keyed[0].header("error"), Some("none"));
    assert_eq!(keyed[0].partition, keyed[1].partition);
    assert_eq!(waiting.await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_sandbox_has_a_database_of_its_own() {
    let (one, other) = (Sandbox::new("database").await, Sandbox::new("database").await);
    one.database().await.batch_execute("CREATE TABLE mine (id int)").await.unwrap();
    assert!(other.database().await.query("SELECT * FROM mine", &[]).await.is_err());
    assert_ne!(one.prefix(), other.prefix());
    assert_ne!(one.ingest_url(), other.ingest_url());
}

#[tokio::test]
async fn kafka_keeps_its_data_through_restart_kill_and_freeze() {
    let kafka = blocking(|| Kafka::start(&rundir::fresh("kafka"))).await;
    create_topic(kafka.brokers(), "kept", 1).await;
    produce(kafka.brokers(), "kept", None, b"one", &[]).await;
    let kafka = blocking(move || {
        kafka.restart();
        kafka
    })
    .await;
    produce(kafka.brokers(), "kept", None, b"two", &[]).await;
    let kafka = blocking(move || {
        kafka.kill();
        kafka.restart();
        kafka
    })
    .await;
    kafka.freeze();
    let brokers = kafka.brokers().to_owned();
    let mut produced = tokio::spawn(async move { produce(&brokers, "kept", None, b"three", &[]).await });
    assert!(tokio::time::timeout(Duration::from_millis(500), &mut produced).await.is_err(), "a frozen broker answered");
    kafka.thaw();
    produced.await.unwrap();
    let messages = read_all(kafka.brokers(), "kept", Isolation::Committed).await;
    assert_eq!(messages.iter().map(|message| &message.value[..]).collect::<Vec<_>>(), [&b"one"[..], b"two", b"three"]);
    blocking(move || drop(kafka)).await;
}

#[tokio::test]
async fn kafka_behind_a_proxy_can_be_cut_off() {
    let kafka = blocking(|| Kafka::start(&rundir::fresh("kafka"))).await;
    let proxy = kafka.proxy().await;
    let brokers = proxy.addr().to_string();
    create_topic(&brokers, "proxied", 1).await;
    proxy.refuse().await;
    let mut produced = tokio::spawn({
        let brokers = brokers.clone();
        async move { produce(&brokers, "proxied", None, b"late", &[]).await }
    });
    assert!(tokio::time::timeout(Duration::from_millis(500), &mut produced).await.is_err(), "the proxy let bytes pass");
    proxy.restore();
    produced.await.unwrap();
    assert_eq!(read_all(&brokers, "proxied", Isolation::Committed).await.len(), 1);
    blocking(move || drop(kafka)).await;
}

#[tokio::test]
async fn postgres_keeps_its_data_through_restart_and_crash() {
    let postgres = blocking(|| Postgres::start(&rundir::fresh("postgres"), Durability::Fast)).await;
    let url = postgres.create_database("kept").await;
    connect(&url).await.batch_execute("CREATE TABLE kept (id int); INSERT INTO kept VALUES (1)").await.unwrap();
    let postgres = blocking(move || {
        postgres.restart();
        postgres
    })
    .await;
    connect(&url).await.batch_execute("INSERT INTO kept VALUES (2)").await.unwrap();
    let postgres = blocking(move || {
        postgres.kill();
        postgres.restart();
        postgres
    })
    .await;
    assert_eq!(connect(&url).await.query("SELECT * FROM kept", &[]).await.unwrap().len(), 2);
    let wrong_password = url.replace("postgres:", "postgres:not-");
    assert!(tokio_postgres::connect(&wrong_password, tokio_postgres::NoTls).await.is_err());
    blocking(move || drop(postgres)).await;
}

#[tokio::test]
async fn a_proxy_cuts_stalls_and_delays() {
    let sandbox = Sandbox::new("proxy").await;
    let url = sandbox.database_url();
    let upstream: SocketAddr = url.split_once('@').unwrap().1.split_once('/').unwrap().0.parse().unwrap();
    let proxy = Proxy::start(upstream).await;
    let client = connect(&url.replace(&upstream.to_string(), &proxy.addr().to_string())).await;

    let stalled = async |client: &tokio_postgres::Client| {
        tokio::time::timeout(Duration::from_millis(200), client.simple_query("SELECT 1")).await.is_err()
    };
    proxy.stall();
    assert!(stalled(&client).await);
    proxy.restore();
    assert!(!stalled(&client).await);
    proxy.delay(Duration::from_millis(150));
    assert!(stalled(&client).await, "two delays of 150 ms took less than 200 ms");
    proxy.restore();
    proxy.cut();
    eventually(DEADLINE, "the connection to break", async || client.is_closed().then_some(())).await;
}

#[tokio::test]
async fn nothing_outlives_an_owner_that_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let report = dir.path().join("report");
    let script = format!(
        "printf '%s\\n%s\\n%s\\n' \"${KAFKA_VARIABLE}\" \"${DATABASE_VARIABLE}\" $$ > {0}.new && mv {0}.new {0} && exec sleep 600",
        report.display()
    );
    let mut owner = Command::new(env!("CARGO_BIN_EXE_with-stack")).args(["--", "sh", "-c", &script]).spawn().unwrap();
    let report =
        eventually(Duration::from_secs(90), "Kafka and PostgreSQL", async || std::fs::read_to_string(&report).ok())
            .await;
    let lines: Vec<_> = report.lines().collect();
    let kafka: SocketAddr = lines[0].parse().unwrap();
    let postgres: SocketAddr = lines[1].split_once('@').unwrap().1.split_once('/').unwrap().0.parse().unwrap();
    let command: u32 = lines[2].parse().unwrap();
    assert!(TcpStream::connect(kafka).is_ok() && TcpStream::connect(postgres).is_ok());

    owner.kill().unwrap();
    owner.wait().unwrap();
    eventually(DEADLINE, "everything to be gone", async || {
        let gone = TcpStream::connect(kafka).is_err() && TcpStream::connect(postgres).is_err();
        // Signal CONT asks no more than whether the process is there.
        (gone && !send(command, Signal::Cont)).then_some(())
    })
    .await;
}

#[test]
fn with_stack_passes_the_exit_code_on() {
    let status = Command::new(env!("CARGO_BIN_EXE_with-stack")).args(["sh", "-c", "exit 42"]).status().unwrap();
    assert_eq!(status.code(), Some(42));
    let status = Command::new(env!("CARGO_BIN_EXE_with-stack")).status().unwrap();
    assert_eq!(status.code(), Some(2));
}

/// Starting and stopping servers blocks; the runtime's own threads have clients to serve meanwhile.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}
