//! A million records wait, a thousand a second are due, and a backlog is drained.

mod due;

use std::time::{Duration, Instant};

use jiff::Timestamp;

use self::due::DueTopic;
use super::waiting::{Spacing, records};
use super::{Figure, Stopwatch, Usage, load};
use crate::kafka::Kafka;
use crate::sandbox::{Env, NO_STRIPE, service_env};
use crate::{Binary, Service, run_calctl, rundir};

/// One that is due soon, and four with what waits.
const TIERS: &str = "20s,30m,40m,50m,60m";
const PARTITIONS: &str = "12";
const WAITING_PER_TIER: u32 = 250_000;
const STEADY: u32 = 15_000;
const STEADY_RATE: u32 = 1000;
const BACKLOG: u32 = 400_000;
const READY: Duration = Duration::from_mins(1);
const DEADLINE: Duration = Duration::from_mins(2);
/// The retrier has taken in what it holds of the waiting records when this long nothing was read any more.
const SETTLED: Duration = Duration::from_secs(3);

pub(super) async fn run() -> Vec<Figure> {
    let kafka = tokio::task::spawn_blocking(|| Kafka::start(&rundir::fresh("kafka"))).await.expect("Kafka starts");
    let mut env = service_env(kafka.brokers(), "postgres://none", 1, NO_STRIPE, &rundir::fresh("bench-retrier"));
    let settings = [("TOPIC_PARTITIONS", PARTITIONS), ("RETRY_DELAYS", TIERS), ("RUST_LOG", "warn")];
    env.extend(settings.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let applied = run_calctl(&["topics", "apply"], &env).await;
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));

    let begun = Instant::now();
    for tier in TIERS.split(',').skip(1) {
        fill(&kafka, tier, WAITING_PER_TIER, Spacing::at(Timestamp::now() + Duration::from_hours(1))).await;
    }
    eprintln!("bench: a million records wait, after {:.0} s", begun.elapsed().as_secs_f64());
    let mut figures = steady(&kafka, &env).await;
    figures.extend(drain(&kafka, &env).await);
    figures
}

async fn fill(kafka: &Kafka, tier: &str, count: u32, due: Spacing) {
    let (brokers, topic) = (kafka.brokers().to_owned(), format!("calendly.events.retry.{tier}"));
    let filled = tokio::task::spawn_blocking(move || load::fill(&brokers, &topic, records(0..count, due)));
    filled.await.expect("the records can be written");
}

/// Waits until the resident memory stays where it is.
async fn settle(pid: u32) {
    let until = Instant::now() + DEADLINE;
    let (mut peak, mut since) = (0, Instant::now());
    while since.elapsed() < SETTLED && Instant::now() < until {
        let now = Usage::of(pid).rss;
        if now > peak + peak / 50 {
            (peak, since) = (now, Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A thousand a second, while the million waits.
async fn steady(kafka: &Kafka, env: &Env) -> Vec<Figure> {
    let retrier = Service::spawn(Binary::Retrier, env);
    retrier.wait_ready(READY).await;
    settle(retrier.pid()).await;
    let waiting = Usage::of(retrier.pid());
    let topic = DueTopic::open(kafka.brokers(), STEADY);
    let interval = Duration::from_secs(1) / STEADY_RATE;
    // Within the tier's delay, or they would count as due earlier.
    let first = Timestamp::now() + Duration::from_secs(4);
    fill(kafka, "20s", STEADY, Spacing { first, interval }).await;
    assert!(Timestamp::now() < first, "the records were written too late to say anything about lateness");
    let watch = Stopwatch::start(retrier.pid());
    let lateness = topic.lateness(DEADLINE).await;
    let cpu = watch.cpu().as_secs_f64();
    let usage = Usage::of(retrier.pid());
    retrier.sigterm();
    retrier.wait_exit(READY).await;
    vec![
        Figure::new("a million records wait in 60 partitions: peak memory", waiting.peak_mib(), "MiB").at_most(100.0),
        Figure::new("the same while 1,000/s are due: peak memory", usage.peak_mib(), "MiB").at_most(100.0),
        Figure::new("1,000/s are due: lateness p50, seen by a consumer", lateness.at(50.0), "ms"),
        Figure::new("1,000/s are due: lateness p99, seen by a consumer", lateness.at(99.0), "ms").at_most(250.0),
        Figure::new("1,000/s are due: the latest", lateness.at(100.0), "ms").at_most(1000.0),
        Figure::new("1,000/s are due: the earliest", lateness.at(0.0), "ms").at_least(0.0),
        Figure::new("1,000/s are due: processor time for 1,000", cpu / f64::from(STEADY) * 1000.0, "CPU-s"),
    ]
}

/// Everything is due: the retrier, or the brokers, were away for long.
async fn drain(kafka: &Kafka, env: &Env) -> Vec<Figure> {
    fill(kafka, "20s", BACKLOG, Spacing::at(Timestamp::now() - Duration::from_secs(1))).await;
    let retrier = Service::spawn(Binary::Retrier, env);
    retrier.wait_ready(READY).await;
    let released = async || retrier.metrics().await.sum("retries_released_total", &[]);
    let until = Instant::now() + DEADLINE;
    let wait_for = async |count: f64| {
        loop {
            let now = released().await;
            if now >= count {
                return now;
            }
            assert!(Instant::now() < until, "only {now} of {BACKLOG} records were released in {DEADLINE:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let first = wait_for(1.0).await;
    let watch = Stopwatch::start(retrier.pid());
    let last = wait_for(f64::from(BACKLOG)).await;
    let (took, cpu) = (watch.elapsed().as_secs_f64(), watch.cpu().as_secs_f64());
    let count = last - first;
    vec![
        Figure::new("a backlog is drained", count / took, "/s").at_least(20_000.0),
        Figure::new("a backlog is drained: processor time for 1,000", cpu / count * 1000.0, "CPU-s"),
        Figure::new("a backlog is drained: peak memory", Usage::of(retrier.pid()).peak_mib(), "MiB").at_most(100.0),
    ]
}
