//! From a webhook's first byte to its committed booking, through everything there is between the two, at a steady rate.

use std::collections::HashMap;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio_postgres::{AsyncMessage, NoTls};

use super::bare::Bare;
use super::clients::send_observed;
use super::server::requests;
use super::{Figure, Percentiles, at_rest, floor, stripe};
use crate::sandbox::service_env;
use crate::shared::Stack;
use crate::wait::eventually;
use crate::{Binary, Service, ports, run_calctl, rundir};

/// Enough for the broker to compile what it runs most: what is compiled makes more of the rest worth it, a few times.
const WARM_UP: Pace = Pace { first: 0x1a7e_0000, per_second: 300.0, duration: Duration::from_secs(15) };
const WARM_UPS: u64 = 4;
const MEASURED: Pace = Pace { first: 0x1a7e_ffff, per_second: 100.0, duration: Duration::from_secs(20) };
const DEADLINE: Duration = Duration::from_secs(30);
/// PostgreSQL sends a notification when its transaction commits, not before.
const TELL: &str = "
    CREATE FUNCTION tell_bench() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_notify('booked', NEW.invitee_uri); RETURN NULL; END $$;
    CREATE TRIGGER tell_bench AFTER INSERT ON bookings FOR EACH ROW EXECUTE FUNCTION tell_bench();
    LISTEN booked;";

/// Distinct deliveries at a steady rate.
struct Pace {
    first: u64,
    per_second: f64,
    duration: Duration,
}

type Moments = Arc<Mutex<HashMap<String, Instant>>>;

/// Notes when each booking was committed.
async fn watch(url: &str) -> (tokio_postgres::Client, Moments) {
    let (client, mut connection) = tokio_postgres::connect(url, NoTls).await.expect("the database is there");
    let booked = Moments::default();
    let noted = booked.clone();
    tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
            if let AsyncMessage::Notification(booking) = message {
                noted.lock().unwrap().insert(booking.payload().to_owned(), Instant::now());
            }
        }
    });
    client.batch_execute(TELL).await.expect("the schema is there");
    (client, booked)
}

async fn run_load(addr: SocketAddr, pace: Pace) -> HashMap<String, Instant> {
    let Pace { first, per_second, duration } = pace;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some thousands")]
    let count = (per_second * duration.as_secs_f64() * 1.1) as usize;
    let (uris, requests) = tokio::task::spawn_blocking(move || requests(count, first)).await.expect("can be made");
    let sent = Moments::default();
    let noted = sent.clone();
    let note = move |number: usize| {
        noted.lock().unwrap().insert(uris(number), Instant::now());
    };
    let run = send_observed(addr, requests, duration, Some(per_second), Arc::new(note)).await;
    assert_eq!(run.failed, 0, "requests failed");
    sent.lock().unwrap().clone()
}

pub(super) async fn run() -> Vec<Figure> {
    let stack = tokio::task::spawn_blocking(Stack::start_lasting).await.expect("the stack starts");
    let url = stack.postgres.create_database("latency").await;
    let (port, dir) = (ports::free_port(), rundir::fresh("bench-latency"));
    let mut env = service_env(stack.kafka.brokers(), &url, port, &stripe::start().await, &dir);
    let settings = [("TOPIC_PARTITIONS", "12"), ("RUST_LOG", "warn"), ("STRIPE_MAX_REQUESTS_PER_SECOND", "10000")];
    env.extend(settings.map(|(name, value)| (name.to_owned(), value.to_owned())));
    for args in [["db", "migrate"], ["topics", "apply"]] {
        let output = run_calctl(&args, &env).await;
        assert!(output.status.success(), "calctl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let (_listening, booked) = watch(&url).await;
    let (ingest, processor) = (Service::spawn(Binary::Ingest, &env), Service::spawn(Binary::Processor, &env));
    ingest.wait_ready(DEADLINE).await;
    processor.wait_ready(DEADLINE).await;
    let addr = SocketAddr::from(([127, 0, 0, 1], port));
    for round in 0..WARM_UPS {
        run_load(addr, Pace { first: WARM_UP.first + round, ..WARM_UP }).await;
        at_rest(stack.kafka.pid().expect("it runs")).await;
    }
    let bare = Bare::start().await;
    let before = bare.slowness().await;
    let sent = run_load(addr, MEASURED).await;
    eventually(DEADLINE, "every booking", async || {
        let booked = booked.lock().unwrap();
        sent.keys().all(|uri| booked.contains_key(uri)).then_some(())
    })
    .await;
    // The broker is warm now, as it was for ours; the services stay, and have nothing to do.
    let floor = floor::run(&stack).await;
    let slowness = f64::midpoint(before, bare.slowness().await);
    let booked = booked.lock().unwrap();
    let millis = sent.iter().map(|(uri, at)| booked[uri].duration_since(*at).as_secs_f64() * 1000.0);
    let times = Percentiles::new(millis.collect());
    let (p50, p99) = (times.at(50.0), times.at(99.0));
    vec![
        Figure::new("webhook to committed booking at 100/s, p50", p50, "ms"),
        Figure::new("webhook to committed booking at 100/s, p99", p99, "ms"),
        Figure::new("webhook to committed booking at 100/s, slowest", times.at(100.0), "ms"),
        Figure::new("a record through Kafka and an insert at 100/s, p50", floor.at(50.0), "ms"),
        Figure::new("a record through Kafka and an insert at 100/s, p99", floor.at(99.0), "ms"),
        Figure::new("webhook to committed booking, in such records, p50", p50 / floor.at(50.0), "").at_most(3.0),
        Figure::new("this machine's slowness, by bare axum", slowness, ""),
        Figure::new("webhook to committed booking, divided by slowness, p50", p50 / slowness, "ms").at_most(3.5),
        Figure::new("webhook to committed booking, divided by slowness, p99", p99 / slowness, "ms").at_most(12.0),
    ]
}
