//! Signed deliveries through ingest into a real Kafka, against a bare axum server that checks the HMAC and no more.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::bare::{Bare, FOR_BARE, WHERE_TARGETS_WERE_SET};
use super::server::{Measured, ROUND, Server, median, warm_up};
use super::{Figure, Percentiles, Usage, at_rest};
use crate::kafka::Kafka;
use crate::sandbox::{NO_STRIPE, service_env};
use crate::wait::eventually;
use crate::{Binary, Service, ports, rundir};

/// Until the broker has compiled itself: one that has just been started does two thirds of its later rate.
const BROKER_WARM_UP: u32 = 10;
/// How often each server has its turn.
const ROUNDS: u64 = 7;
/// Distinct requests for a round: more than most machines can answer.
const DISTINCT: usize = 50_000;
const DEADLINE: Duration = Duration::from_secs(30);
const DRAINED: Duration = Duration::from_mins(3);

/// The servers in turn, round by round, as the machine's own speed changes from one minute to the next. Each round's
/// ratio is taken by itself, and the median of them counts.
async fn compare(bare: &Server, ours: &Server) -> Vec<Figure> {
    let (mut least, mut full, mut half) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let first = round << 32;
        least.push(bare.measure((FOR_BARE, 0), ROUND, None).await.0);
        full.push(ours.measure((DISTINCT, first), ROUND, None).await.0);
        let rate = median(full.iter().map(|measured| measured.rate)) / 2.0;
        let (_, run) = ours.measure((DISTINCT, first + (1 << 31)), ROUND, Some(rate)).await;
        half.extend(run.times.iter().map(|time| time.as_secs_f64() * 1000.0));
    }
    let p99 = Percentiles::new(half).at(99.0);
    let ratio = |of: fn(&Measured) -> f64| median(full.iter().zip(&least).map(|(ours, bare)| of(ours) / of(bare)));
    let slowness = median(least.iter().map(|round| round.cpu_per_1000)) / WHERE_TARGETS_WERE_SET;
    let mut figures = [bare.figures(&least), ours.figures(&full)].concat();
    figures.extend([
        Figure::new("rate, of bare axum's", ratio(|round| round.rate), "").at_least(0.33),
        Figure::new("processor time, of bare axum's", ratio(|round| round.cpu_per_1000), "").at_most(3.5),
        Figure::new("answered at half of its rate, p99", p99, "ms"),
        Figure::new("this machine's slowness, by bare axum", slowness, ""),
        Figure::new("answered at half of its rate, divided by slowness, p99", p99 / slowness, "ms").at_most(8.0),
    ]);
    figures
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

pub(super) async fn run() -> Vec<Figure> {
    let kafka =
        tokio::task::spawn_blocking(|| Kafka::start_lasting(&rundir::fresh("kafka"))).await.expect("Kafka starts");
    let kafka = Arc::new(kafka);
    let port = ports::free_port();
    let (ingest, mut figures) = start(&kafka, port).await;
    let bare = Bare::start().await;
    let addr = SocketAddr::from(([127, 0, 0, 1], port));
    for _ in 0..BROKER_WARM_UP {
        warm_up(addr).await;
    }
    let broker = kafka.pid().expect("it runs");
    at_rest(broker).await;
    let ours = Server { name: "into Kafka", pid: ingest.pid(), addr, broker: Some(broker) };
    figures.extend(compare(&bare.server(), &ours).await);
    figures.extend(without_kafka(&kafka, &ingest, addr).await);
    figures
}

/// Into the spool while Kafka is down, and from there to Kafka.
async fn without_kafka(kafka: &Arc<Kafka>, ingest: &Service, addr: SocketAddr) -> Vec<Figure> {
    let stopped = kafka.clone();
    tokio::task::spawn_blocking(move || stopped.kill()).await.expect("Kafka can be killed");
    warm_up(addr).await;
    let server = Server { name: "into the spool", pid: ingest.pid(), addr, broker: None };
    let (spooled, _) = server.measure((3 * DISTINCT, 1 << 41), 3 * ROUND, None).await;
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
