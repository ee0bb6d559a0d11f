//! Drains stored events through the real processor, against what PostgreSQL can do at all.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::bare::Bare;
use super::{Figure, Stopwatch, Usage, at_rest, pgbench, stripe};
use crate::calendly::{Delivery, Invitee};
use crate::kafka::produce_many;
use crate::sandbox::{Env, service_env};
use crate::shared::Stack;
use crate::{Binary, Service, ports, run_calctl, rundir};

const EVENTS: usize = 20_000;
const CREATED: usize = 14_000;
const CANCELED: usize = 4_000;
const PAIRS: usize = 1_000;
/// How many bookings lie between a booking and what happens to it later.
const LATER: usize = 500;
const READY: Duration = Duration::from_secs(30);
const DEADLINE: Duration = Duration::from_mins(2);

/// 70% created, each with a Stripe session; 20% cancelled; 10% in pairs of a reschedule.
fn deliveries() -> Vec<Delivery> {
    let begin = Timestamp::now() - SignedDuration::from_mins(30);
    let mut all: Vec<(usize, Delivery)> = Vec::with_capacity(EVENTS);
    for number in 0..CREATED {
        let at = |place: usize| begin + SignedDuration::from_millis(i64::try_from(place).unwrap() * 20);
        let invitee = Invitee::new(0x00be_0000_0000 + number as u64);
        all.push((number, invitee.created().occurred(at(number))));
        let later = number + LATER;
        if number < CANCELED {
            all.push((later, invitee.canceled().occurred(at(later))));
        } else if number < CANCELED + PAIRS {
            let (left, created) = invitee.reschedule_pair(&invitee.moved());
            all.push((later, left.occurred(at(later))));
            all.push((later, created.occurred(at(later))));
        }
    }
    all.sort_by_key(|(place, _)| *place);
    all.into_iter().map(|(_, delivery)| delivery).collect()
}

/// As ingest would publish it.
fn record(delivery: &Delivery) -> (String, Vec<u8>) {
    let body = delivery.body();
    let parsed = schemas::calendly::Delivery::parse(&body).expect("our own delivery");
    let key = parsed.partition_key();
    let event = parsed.into_event(Timestamp::now());
    (key, schemas::codec::encode_calendly(&event).expect("our own event"))
}

async fn prepare(stack: &Stack, stripe_url: &str) -> Env {
    let url = stack.postgres.create_database("bench").await;
    let dir = rundir::fresh("bench-processor");
    let mut env = service_env(stack.kafka.brokers(), &url, ports::free_port(), stripe_url, &dir);
    let settings = [
        ("STRIPE_MAX_REQUESTS_PER_SECOND", "10000"),
        ("TOPIC_PARTITIONS", "12"),
        ("DATABASE_POOL_SIZE", "16"),
        ("PROCESSOR_CONCURRENCY", "256"),
        ("RUST_LOG", "warn"),
    ];
    env.extend(settings.map(|(name, value)| (name.to_owned(), value.to_owned())));
    for args in [["db", "migrate"], ["topics", "apply"]] {
        let output = run_calctl(&args, &env).await;
        assert!(output.status.success(), "calctl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    env
}

pub(super) async fn run() -> Vec<Figure> {
    let stack = tokio::task::spawn_blocking(Stack::start_lasting).await.expect("the stack starts");
    let stripe_url = stripe::start().await;
    let env = prepare(&stack, &stripe_url).await;
    let records: Vec<_> = deliveries().iter().map(record).collect();
    assert_eq!(records.len(), EVENTS);
    produce_many(stack.kafka.brokers(), "calendly.events", &[], &records).await;
    at_rest(stack.kafka.pid().expect("it runs")).await;
    let yardstick = pgbench::run(&stack.postgres).await;
    let bare = Bare::start().await;
    let before = bare.slowness().await;
    let mut figures = drain(&env).await;
    let (rate, cpu) = (figures[0].value(), figures[1].value());
    let slowness = f64::midpoint(before, bare.slowness().await);
    figures.push(Figure::new("pgbench, one transaction for a booking, 32 clients", yardstick, "/s"));
    figures.push(Figure::new("events for each transaction of pgbench", rate / yardstick, "").at_least(0.75));
    figures.push(Figure::new("this machine's slowness, by bare axum", slowness, ""));
    figures.push(
        Figure::new("processor time for 1,000 events, divided by slowness", cpu / slowness, "CPU-s").at_most(0.15),
    );
    figures
}

/// From the first event to the last.
#[expect(clippy::cast_precision_loss, reason = "thousands of events")]
async fn drain(env: &Env) -> Vec<Figure> {
    let processor = Service::spawn(Binary::Processor, env);
    processor.wait_ready(READY).await;
    let until = Instant::now() + DEADLINE;
    let wait_for = async |count: usize, pause: Duration| {
        loop {
            let now = processor.metrics().await.sum("events_processed_total", &[]);
            if now >= count as f64 {
                return now;
            }
            assert!(Instant::now() < until, "only {now} of {EVENTS} events were processed in {DEADLINE:?}");
            tokio::time::sleep(pause).await;
        }
    };
    let first = wait_for(1, Duration::from_millis(5)).await;
    let watch = Stopwatch::start(processor.pid());
    // Telling its numbers costs the processor some work as well, so it is rarely asked.
    let last = wait_for(EVENTS, Duration::from_millis(250)).await;
    let (took, cpu) = (watch.elapsed().as_secs_f64(), watch.cpu().as_secs_f64());
    let count = last - first;
    vec![
        Figure::new("events processed, Stripe at 0 ms", count / took, "/s"),
        Figure::new("processor time for 1,000 events", cpu / count * 1000.0, "CPU-s"),
        Figure::new("peak memory", Usage::of(processor.pid()).peak_mib(), "MiB"),
    ]
}
