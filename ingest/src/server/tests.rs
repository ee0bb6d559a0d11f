//! Connections that misbehave, and shutdown.

use std::net::SocketAddr;
use std::time::Instant;

use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

use super::*;

struct Running {
    addr: SocketAddr,
    shutdown: Shutdown,
    serving: JoinHandle<()>,
}

async fn start() -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let slow = || async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        "slow"
    };
    let router = Router::new().route("/", get(|| async { "here" })).route("/slow", get(slow));
    let shutdown = Shutdown::new();
    let serving = tokio::spawn(serve(listener, Tls::default(), router, shutdown.clone()));
    Running { addr, shutdown, serving }
}

impl Running {
    async fn send(&self, head: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    }
}

async fn everything(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn open_requests_are_finished_and_new_connections_refused() {
    let running = start().await;
    let open = running.send("GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    running.shutdown.trigger();
    assert!(everything(open).await.ends_with("slow"));
    running.serving.await.unwrap();
    assert!(TcpStream::connect(running.addr).await.is_err());
}

#[tokio::test]
async fn silent_and_half_sent_connections_do_not_hold_the_shutdown_up() {
    let running = start().await;
    let mut kept = running.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    kept.read_exact(&mut [0; 15]).await.unwrap();
    let _silent = running.send("").await;
    let _half = running.send("GET / HT").await;
    let _half_later = running.send("GET / HTTP/1.1\r\nhost: x\r\n\r\nGET / HTTP/1.1\r\nho").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let began = Instant::now();
    running.shutdown.trigger();
    running.serving.await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let running = start().await;
    let answer = everything(running.send(&format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(40_000))).await).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_asks_is_dropped() {
    let activity = Arc::new(Activity::default());
    activity.outstays(FIRST_REQUEST, || false).await;
    let open = activity.begin();
    assert!(activity.is_busy());
    let busy = tokio::time::timeout(FIRST_REQUEST, activity.outstays(FIRST_REQUEST, || true)).await;
    assert!(busy.is_err(), "an open request keeps its place however scarce places are");
    drop(open);
    assert!(!activity.is_busy());
    let later = tokio::time::timeout(FIRST_REQUEST * 10, activity.outstays(FIRST_REQUEST, || false)).await;
    assert!(later.is_err(), "a client that has asked is not silent");
    activity.outstays(FIRST_REQUEST, || true).await;
}

#[tokio::test]
async fn places_are_scarce_before_there_is_none() {
    let crowd = Crowd::with_room_for(16);
    let mut places = Vec::new();
    for _ in 0..14 {
        assert!(!crowd.is_dense());
        places.push(crowd.place().await);
    }
    assert!(crowd.is_dense());
    places.pop();
    assert!(!crowd.is_dense());
}
