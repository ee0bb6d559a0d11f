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

use super::clients::{Run, send};
use super::{Figure, Stopwatch, Usage};
use crate::calendly::{Invitee, Signer};
use crate::kafka::Kafka;
use crate::process::{Proc, Signal};
use crate::sandbox::{CALENDLY_SIGNING_KEY, NO_STRIPE, service_env};
use crate::wait::eventually;
use crate::{Binary, Service, ports, rundir};

const WARM_UP: Duration = Duration::from_secs(2);
/// Until the broker has compiled itself: one that has just been started does two thirds of its later rate.
const BROKER_WARM_UP: u32 = 10;
const SECONDS: Duration = Duration::from_secs(6);
const DEADLINE: Duration = Duration::from_secs(30);
const DRAINED: Duration = Duration::from_mins(3);
/// With this and a port, the program is the yardstick.
pub const BARE: &str = "bare";

/// The yardstick, in a process of its own.
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

/// Tells the invitee's URI of a request by its number.
pub(super) type Uris = Box<dyn Fn(usize) -> String + Send + Sync>;

/// Distinct deliveries of 2 to 3 KiB, signed now, as HTTP requests.
pub(super) fn requests(count: usize, first: u64) -> (Uris, Arc<Vec<Vec<u8>>>) {
    let signer = Signer::new(CALENDLY_SIGNING_KEY);
    // Building the JSON anew for each would take longer than all the rest.
    let invitee = Invitee::new(first);
    let template = String::from_utf8(invitee.created().set("/payload/tracking/utm_source", "PADDING").body()).unwrap();
    let base = invitee.uri.clone();
    let uris = move |number: usize| format!("{base}{number:08x}");
    let request = |number: usize| {
        let uri = uris(number);
        let body =
            template.replace("PADDING", &"n".repeat(300 + number % 900)).replace(&invitee.uri, &uri).into_bytes();
        let head = format!(
            "POST /webhooks/calendly HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n\
             User-Agent: Calendly\r\nCalendly-Webhook-Signature: {}\r\nContent-Length: {}\r\n\r\n",
            signer.sign_now(&body),
            body.len()
        );
        [head.into_bytes(), body].concat()
    };
    let all = (0..count).map(request).collect();
    (Box::new(uris), Arc::new(all))
}

/// What one run came to, as figures and as what they are compared by.
struct Measured {
    rate: f64,
    cpu_per_1000: f64,
    figures: Vec<Figure>,
}

impl Measured {
    fn p99(run: &Run) -> f64 {
        run.quantile(990).as_secs_f64() * 1000.0
    }
}

async fn measure(
    name: &str,
    pid: u32,
    addr: SocketAddr,
    (count, first): (usize, u64),
    per_second: Option<f64>,
) -> (Measured, Run) {
    let (_, requests) =
        tokio::task::spawn_blocking(move || requests(count, first)).await.expect("requests can be made");
    let watch = Stopwatch::start(pid);
    let run = send(addr, requests, SECONDS, per_second).await;
    assert_eq!(run.failed, 0, "{name}: requests failed");
    let (rate, cpu_per_1000) = (run.rate(), watch.cpu().as_secs_f64() / run.rate() / SECONDS.as_secs_f64() * 1000.0);
    let figures = vec![
        Figure::new(format!("{name}: requests"), rate, "/s"),
        Figure::new(format!("{name}: processor time for 1,000"), cpu_per_1000, "CPU-s"),
    ];
    (Measured { rate, cpu_per_1000, figures }, run)
}

async fn warm_up(addr: SocketAddr) {
    let (_, requests) = tokio::task::spawn_blocking(|| requests(50_000, 1 << 40)).await.expect("requests can be made");
    send(addr, requests, WARM_UP, None).await;
}

async fn start(kafka: &Kafka, port: u16) -> (Service, Vec<Figure>) {
    let dir = rundir::fresh("bench-ingest");
    let mut env = service_env(kafka.brokers(), "postgres://none", port, NO_STRIPE, &dir);
    env.insert("TOPIC_PARTITIONS".to_owned(), "12".to_owned());
    env.insert("RUST_LOG".to_owned(), "warn".to_owned());
    // The topics are made by a first start, as they are there in any other than the very first.
    let first = Service::spawn(Binary::Ingest, &env);
    first.wait_ready(DEADLINE).await;
    first.sigterm();
    first.wait_exit(DEADLINE).await;
    let started = Instant::now();
    let ingest = Service::spawn(Binary::Ingest, &env);
    ingest.wait_ready(DEADLINE).await;
    let ready = started.elapsed().as_secs_f64();
    let idle = Usage::of(ingest.pid()).peak_mib();
    let figures = vec![
        Figure::new("ready after", ready, "s").at_most(0.5),
        Figure::new("memory when idle", idle, "MiB").at_most(25.0),
    ];
    (ingest, figures)
}

fn yardstick() -> (Proc, SocketAddr) {
    let port = ports::free_port();
    let program = std::env::current_exe().expect("this program has a path");
    let mut command = std::process::Command::new(program);
    command.args([BARE, &port.to_string()]);
    let bare = Proc::spawn(&mut command, Signal::Kill).expect("this program can be run");
    (bare, SocketAddr::from(([127, 0, 0, 1], port)))
}

pub(super) async fn run() -> Vec<Figure> {
    let kafka =
        tokio::task::spawn_blocking(|| Kafka::start_lasting(&rundir::fresh("kafka"))).await.expect("Kafka starts");
    let kafka = Arc::new(kafka);
    let port = ports::free_port();
    let (ingest, mut figures) = start(&kafka, port).await;
    let (bare, bare_addr) = yardstick();
    let addr = SocketAddr::from(([127, 0, 0, 1], port));
    eventually(DEADLINE, "the yardstick", async || tokio::net::TcpStream::connect(bare_addr).await.ok()).await;
    warm_up(bare_addr).await;
    let (least, _) = measure("bare axum with HMAC", bare.pid(), bare_addr, (600_000, 0), None).await;
    for _ in 0..BROKER_WARM_UP {
        warm_up(addr).await;
    }
    let (ours, _) = measure("into Kafka", ingest.pid(), addr, (200_000, 0), None).await;
    let (_, run) = measure("at half of that", ingest.pid(), addr, (100_000, 1 << 32), Some(ours.rate / 2.0)).await;
    let p99 = Measured::p99(&run);
    figures.extend([least.figures, ours.figures].into_iter().flatten());
    figures.push(Figure::new("rate, of bare axum's", ours.rate / least.rate, "").at_least(0.33));
    figures
        .push(Figure::new("processor time, of bare axum's", ours.cpu_per_1000 / least.cpu_per_1000, "").at_most(3.5));
    figures.push(Figure::new("answered at half of its rate, p99", p99, "ms").at_most(8.0));
    figures.extend(without_kafka(&kafka, &ingest, addr).await);
    figures
}

/// Into the spool while Kafka is down, and from there to Kafka.
async fn without_kafka(kafka: &Arc<Kafka>, ingest: &Service, addr: SocketAddr) -> Vec<Figure> {
    let stopped = kafka.clone();
    tokio::task::spawn_blocking(move || stopped.kill()).await.expect("Kafka can be killed");
    warm_up(addr).await;
    let (spooled, _) = measure("into the spool", ingest.pid(), addr, (200_000, 1 << 33), None).await;
    let waiting = ingest.metrics().await.sum("spool_records", &[]);
    let restarted = kafka.clone();
    tokio::task::spawn_blocking(move || restarted.restart()).await.expect("Kafka can be started");
    let begun = Instant::now();
    eventually(DRAINED, "the spool to be empty", async || {
        (ingest.metrics().await.sum("spool_records", &[]) == 0.0).then_some(())
    })
    .await;
    let drained = waiting / begun.elapsed().as_secs_f64();
    vec![
        Figure::new("into the spool, fsynced, while Kafka is down", spooled.rate, "/s").at_least(5000.0),
        Figure::new("from the spool to Kafka", drained, "/s"),
        Figure::new("peak memory", Usage::of(ingest.pid()).peak_mib(), "MiB"),
    ]
}
