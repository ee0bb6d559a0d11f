//! Signed deliveries through ingest into a real Kafka, against a bare axum server that checks the HMAC and no more.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::load::{Run, send};
use super::processor::cpu_seconds;
use crate::calendly::{Invitee, Signer};
use crate::kafka::Kafka;
use crate::process::{Proc, Signal};
use crate::sandbox::{CALENDLY_SIGNING_KEY, NO_STRIPE, service_env};
use crate::wait::eventually;
use crate::{Binary, Service, ports, rundir};

const WARM_UP: Duration = Duration::from_secs(2);
const SECONDS: Duration = Duration::from_secs(6);
const DEADLINE: Duration = Duration::from_secs(30);

/// The yardstick; `bench bare PORT` runs it in a process of its own.
pub async fn bare(port: u16) {
    async fn receive(headers: HeaderMap, body: Bytes) -> (StatusCode, &'static str) {
        let header = headers.get("calendly-webhook-signature").and_then(|value| value.to_str().ok());
        let Some((time, signature)) = header.and_then(|header| header.strip_prefix("t=")?.split_once(",v1=")) else {
            return (StatusCode::UNAUTHORIZED, "{}");
        };
        let mut mac = Hmac::<Sha256>::new_from_slice(CALENDLY_SIGNING_KEY.as_bytes()).expect("any key will do");
        mac.update(time.as_bytes());
        mac.update(b".");
        mac.update(&body);
        let given = hex::decode(signature).unwrap_or_default();
        if mac.verify_slice(&given).is_ok() {
            (StatusCode::OK, r#"{"success":true}"#)
        } else {
            (StatusCode::UNAUTHORIZED, "{}")
        }
    }
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.expect("the port is free");
    let router = Router::new().route("/webhooks/calendly", post(receive));
    axum::serve(listener, router).await.expect("the yardstick serves");
}

/// Distinct deliveries of 2 to 3 KiB, signed now, as HTTP requests.
fn requests(count: usize, first: u64) -> Arc<Vec<Vec<u8>>> {
    let signer = Signer::new(CALENDLY_SIGNING_KEY);
    let request = |number: usize| {
        let invitee = Invitee::new(first + number as u64);
        let padding = "n".repeat(300 + number % 900);
        let body = invitee.created().set("/payload/tracking/utm_source", padding).body();
        let head = format!(
            "POST /webhooks/calendly HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n\
             User-Agent: Calendly\r\nCalendly-Webhook-Signature: {}\r\nContent-Length: {}\r\n\r\n",
            signer.sign_now(&body),
            body.len()
        );
        [head.into_bytes(), body].concat()
    };
    Arc::new((0..count).map(request).collect())
}

struct Measured {
    run: Run,
    cpu_per_1000: f64,
}

async fn measure(name: &str, pid: u32, addr: SocketAddr, count: usize, first: u64, rate: Option<f64>) -> Measured {
    let requests = tokio::task::spawn_blocking(move || requests(count, first)).await.unwrap();
    let before = cpu_seconds(pid);
    let run = send(addr, requests, SECONDS, rate).await;
    let cpu_per_1000 = (cpu_seconds(pid) - before) / run.succeeded as f64 * 1000.0;
    println!(
        "{name:<34} {:>7.0}/s  {cpu_per_1000:.4} CPU-s/1000  p50 {:>7.2?}  p99 {:>7.2?}  p99.9 {:>7.2?}  failed {}",
        run.rate(),
        run.quantile(500),
        run.quantile(990),
        run.quantile(999),
        run.failed,
    );
    Measured { run, cpu_per_1000 }
}

async fn warm_up(addr: SocketAddr) {
    let requests = tokio::task::spawn_blocking(|| requests(100_000, 1 << 40)).await.unwrap();
    send(addr, requests, WARM_UP, None).await;
}

fn resident_mib(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("Linux tells");
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

/// Runs it and prints what came of it.
pub async fn run() {
    let kafka = tokio::task::spawn_blocking(|| Arc::new(Kafka::start(&rundir::fresh("kafka")))).await.unwrap();
    let dir = rundir::fresh("bench");
    let (bare_port, port) = (ports::free_port(), ports::free_port());
    let mut env = service_env(kafka.brokers(), "postgres://nobody@127.0.0.1:9/x", port, NO_STRIPE, &dir);
    env.insert("TOPIC_PARTITIONS".to_owned(), "12".to_owned());
    let first = Service::spawn(Binary::Ingest, &env);
    first.wait_ready(DEADLINE).await;
    first.sigterm();
    first.wait_exit(DEADLINE).await;
    let started = Instant::now();
    let ingest = Service::spawn(Binary::Ingest, &env);
    ingest.wait_ready(DEADLINE).await;
    let ready = started.elapsed();
    tokio::time::sleep(Duration::from_secs(1)).await;
    println!("ingest is ready in {ready:.0?}, idle at {:.1} MiB", resident_mib(ingest.pid()));

    let program = std::env::current_exe().expect("this program has a path");
    let mut command = std::process::Command::new(program);
    command.args(["bare", &bare_port.to_string()]);
    let bare = Proc::spawn(&mut command, Signal::Kill).expect("this program can be run");
    let [bare_addr, addr] = [bare_port, port].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    eventually(DEADLINE, "the yardstick", async || tokio::net::TcpStream::connect(bare_addr).await.ok()).await;

    warm_up(bare_addr).await;
    let yardstick = measure("bare axum", bare.pid(), bare_addr, 600_000, 0, None).await;
    warm_up(addr).await;
    let ours = measure("ingest, Kafka acks=all", ingest.pid(), addr, 300_000, 0, None).await;
    println!(
        "ratio: {:.2} of the yardstick's rate, {:.2} times its CPU",
        ours.run.rate() / yardstick.run.rate(),
        ours.cpu_per_1000 / yardstick.cpu_per_1000
    );
    let half = ours.run.rate() / 2.0;
    measure("ingest at half of that rate", ingest.pid(), addr, 300_000, 1 << 32, Some(half)).await;
    println!("resident {:.1} MiB", resident_mib(ingest.pid()));
    let stopped = kafka.clone();
    tokio::task::spawn_blocking(move || stopped.kill()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    measure("ingest, spool (Kafka is down)", ingest.pid(), addr, 200_000, 1 << 33, None).await;
    println!("resident {:.1} MiB", resident_mib(ingest.pid()));
    let began = Instant::now();
    let waiting = ingest.metrics().await.sum("spool_records", &[]);
    tokio::task::spawn_blocking(move || kafka.restart()).await.unwrap();
    eventually(Duration::from_mins(2), "the spool to be empty", async || {
        (ingest.metrics().await.sum("spool_records", &[]) == 0.0).then_some(())
    })
    .await;
    println!("{waiting} spooled records are in Kafka {:.1?} after its restart began", began.elapsed());
}
