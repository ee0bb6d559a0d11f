//! The whole service, with a broker that is not there.

use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

async fn get(addr: std::net::SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn without_kafka_it_is_alive_and_not_ready_and_stops_at_once() {
    let spool = tempfile::tempdir().unwrap();
    let pairs = [
        ("KAFKA_BROKERS", "127.0.0.1:9"),
        ("CALENDLY_SIGNING_KEYS", "key"),
        ("INGEST_ADDR", "127.0.0.1:0"),
        ("ADMIN_ADDR", "127.0.0.1:0"),
        ("SPOOL_DIR", spool.path().to_str().unwrap()),
    ];
    let env = Env::from_pairs(pairs);
    let config = Config::from_env(&env).unwrap();
    let listeners = Listeners::bind(&config).await.unwrap();
    let (public, admin) = (listeners.public.local_addr().unwrap(), listeners.admin.local_addr().unwrap());
    let shutdown = Shutdown::new();
    let running = tokio::spawn(serve(env, config, listeners, shutdown.clone()));

    assert!(get(public, "/metrics").await.starts_with("HTTP/1.1 404 "));
    assert!(get(admin, "/healthz").await.starts_with("HTTP/1.1 200 "));
    assert!(get(admin, "/readyz").await.starts_with("HTTP/1.1 503 "));
    let metrics = get(admin, "/metrics").await;
    for zero in [
        r#"webhook_requests_total{source="calendly",outcome="stale_signature"} 0"#,
        r#"webhook_requests_total{source="calendly",outcome="accepted"} 0"#,
        "spool_records 0",
        "spool_bytes 0",
    ] {
        assert!(metrics.contains(zero), "{zero} in\n{metrics}");
    }

    let began = Instant::now();
    shutdown.trigger();
    running.await.unwrap().unwrap();
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}
