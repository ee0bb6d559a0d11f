//! Wrong configuration, dependencies that are away at start, and a mismatch with what is there.

use std::time::Duration;

use tests::kafka::create_topic;
use tests::sandbox::NO_STRIPE;
use tests::{Binary, Sandbox, Service, eventually};

use crate::world::PATIENCE;

const ALL: [Binary; 3] = [Binary::Ingest, Binary::Processor, Binary::Retrier];

#[tokio::test]
async fn wrong_configuration_is_one_line_that_names_the_variable() {
    let sandbox = Sandbox::new("config").await;
    let good = sandbox.env(NO_STRIPE);
    for (binary, variable, value) in [
        (Binary::Ingest, "KAFKA_BROKERS", ""),
        (Binary::Ingest, "CALENDLY_SIGNING_KEYS", ""),
        (Binary::Ingest, "WEBHOOK_TOLERANCE", "180"),
        (Binary::Ingest, "MAX_BODY_BYTES", "lots"),
        (Binary::Ingest, "INGEST_ADDR", "nowhere"),
        (Binary::Ingest, "ADMIN_ADDR", "9464"),
        (Binary::Processor, "DATABASE_URL", "mysql://x"),
        (Binary::Processor, "STRIPE_SECRET_KEY", " "),
        (Binary::Processor, "DEFAULT_PRICE", "cheap"),
        (Binary::Processor, "RETRY_DELAYS", "1m,1m"),
        (Binary::Processor, "TOPIC_PARTITIONS", "0"),
        (Binary::Retrier, "RETRY_DELAYS", "60"),
        (Binary::Retrier, "TOPIC_PREFIX", "a b"),
        (Binary::Retrier, "LOG_FORMAT", "xml"),
        (Binary::Retrier, "KAFKA_SECURITY_PROTOCOL", "tls"),
    ] {
        let mut env = good.clone();
        env.insert(variable.to_owned(), value.to_owned());
        let service = Service::spawn(binary, &env);
        let status = service.wait_exit(PATIENCE).await;
        let stderr = service.stderr();
        assert_eq!(status.code(), Some(64), "{variable}={value}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{variable}={value}: {stderr}");
        assert!(stderr.contains(variable), "{variable}={value}: {stderr}");
    }
}

#[tokio::test]
async fn a_topic_with_too_few_partitions_is_one_clear_line() {
    let sandbox = Sandbox::new("partitions").await;
    create_topic(sandbox.brokers(), &sandbox.topic("calendly.events"), 2).await;
    for binary in ALL {
        let service = Service::spawn(binary, &sandbox.env(NO_STRIPE));
        let status = service.wait_exit(PATIENCE).await;
        let stderr = service.stderr();
        assert_eq!(status.code(), Some(64), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.contains("TOPIC_PARTITIONS: is 3"), "{stderr}");
        assert!(stderr.contains("has 2 partitions"), "{stderr}");
    }
}

#[tokio::test]
async fn a_broker_that_is_away_is_one_line_and_503_not_an_exit() {
    let sandbox = Sandbox::new("no-broker").await;
    let mut env = sandbox.env(NO_STRIPE);
    env.insert("KAFKA_BROKERS".to_owned(), "127.0.0.1:9".to_owned());
    for binary in ALL {
        let service = Service::spawn(binary, &env);
        let line = "Kafka is not reachable";
        eventually(PATIENCE, "the warning", async || service.stderr().contains(line).then_some(())).await;
        let (status, body) = eventually(PATIENCE, "readiness", async || service.ready().await).await;
        assert_eq!((status, body["checks"]["kafka"]["status"].as_str()), (503, Some("down")), "{body}");
        assert_eq!(service.admin("/healthz").await.unwrap().0, 200);
        assert_eq!(service.healthcheck().await, Some(1));
        assert_eq!(service.stderr().matches(line).count(), 1);
        service.sigterm();
        assert_eq!(service.wait_exit(Duration::from_secs(30)).await.code(), Some(0), "{}", service.stderr());
    }
}

#[tokio::test]
async fn a_database_that_is_away_is_one_line_and_waited_for() {
    let sandbox = Sandbox::new("no-database").await;
    let proxy_target: std::net::SocketAddr = {
        let url = sandbox.database_url();
        let host = url.rsplit('@').next().unwrap().split('/').next().unwrap();
        host.parse().expect("the test database has an address")
    };
    let proxy = tests::proxy::Proxy::start(proxy_target).await;
    proxy.refuse().await;
    let mut env = sandbox.env(NO_STRIPE);
    let through = sandbox.database_url().replace(&proxy_target.to_string(), &proxy.addr().to_string());
    env.insert("DATABASE_URL".to_owned(), through);
    let service = Service::spawn(Binary::Processor, &env);
    let line = "PostgreSQL is not reachable";
    eventually(PATIENCE, "the warning", async || service.stderr().contains(line).then_some(())).await;
    let (status, body) = eventually(PATIENCE, "readiness", async || service.ready().await).await;
    assert_eq!((status, body["checks"]["postgres"]["status"].as_str()), (503, Some("down")), "{body}");
    assert_eq!(service.stderr().matches(line).count(), 1, "{}", service.stderr());
    proxy.restore();
    service.wait_ready(PATIENCE).await;
    assert_eq!(service.healthcheck().await, Some(0));
}
