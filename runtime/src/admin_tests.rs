use super::*;

struct Running {
    server: AdminServer,
    health: Health,
    shutdown: Shutdown,
}

async fn start() -> Running {
    crate::entry::install_crypto();
    let (health, shutdown) = (Health::new(), Shutdown::new());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = serve(listener, health.clone(), crate::metrics::install().unwrap(), shutdown.clone()).unwrap();
    Running { server, health, shutdown }
}

impl Running {
    async fn get(&self, path: &str) -> (u16, String) {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).build().unwrap();
        let answer = client.get(format!("http://{}{path}", self.server.local_addr())).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }
}

#[tokio::test]
async fn alive_while_a_dependency_is_down() {
    let running = start().await;
    running.health.component("kafka").down("no broker answers");
    assert_eq!(running.get("/healthz").await, (200, r#"{"status":"ok"}"#.to_owned()));
    assert_eq!(running.get("/").await.0, 404);
}

#[tokio::test]
async fn ready_follows_the_dependencies() {
    let running = start().await;
    let (kafka, database) = (running.health.component("kafka"), running.health.component("database"));
    kafka.up();
    let not_checked = r#"{"status":"down","detail":"not checked yet"}"#;
    let body = format!(r#"{{"status":"not_ready","checks":{{"database":{not_checked},"kafka":{{"status":"up"}}}}}}"#);
    assert_eq!(running.get("/readyz").await, (503, body));

    database.up();
    let body = r#"{"status":"ready","checks":{"database":{"status":"up"},"kafka":{"status":"up"}}}"#;
    assert_eq!(running.get("/readyz").await, (200, body.to_owned()));
}

#[tokio::test]
async fn not_ready_but_watchable_while_draining() {
    let running = start().await;
    running.shutdown.trigger();
    let body = r#"{"status":"not_ready","detail":"shutting down","checks":{}}"#;
    assert_eq!(running.get("/readyz").await, (503, body.to_owned()));
    assert_eq!(running.get("/healthz").await.0, 200);
}

#[tokio::test]
async fn serves_the_metrics() {
    let running = start().await;
    metrics::gauge!(crate::metrics::SPOOL_RECORDS).set(3.0);
    let (code, text) = running.get("/metrics").await;
    assert_eq!(code, 200);
    assert!(text.contains("\nspool_records 3\n"), "{text}");
}

#[tokio::test]
async fn stops_when_dropped() {
    let running = start().await;
    let addr = running.server.local_addr();
    drop(running);
    // Aborted tasks end when the runtime gets to them.
    for _ in 0..100 {
        if tokio::net::TcpStream::connect(addr).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(tokio::net::TcpStream::connect(addr).await.is_err());
}
