//! Drains stored events through the real processor, against what PostgreSQL can do at all.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::stripe;
use crate::calendly::{Delivery, Invitee};
use crate::kafka::produce_many;
use crate::postgres::{self, Durability};
use crate::sandbox::service_env;
use crate::shared::Stack;
use crate::{Binary, Service, ports, run_calctl, rundir};

const EVENTS: usize = 20_000;
const CREATED: usize = 14_000;
const CANCELED: usize = 4_000;
const PAIRS: usize = 1_000;
/// How many bookings lie between a booking and what happens to it later.
const LATER: usize = 500;

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

fn record(delivery: &Delivery) -> (String, Vec<u8>) {
    let body = delivery.body();
    let parsed = schemas::calendly::Delivery::parse(&body).expect("our own delivery");
    let key = parsed.partition_key();
    let event = parsed.into_event(Timestamp::now());
    (key, schemas::codec::encode_calendly(&event).expect("our own event"))
}

pub fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

pub async fn run() {
    let stack = tokio::task::spawn_blocking(|| Stack::start(Durability::Fsync)).await.unwrap();
    let (stripe_url, counts) = stripe::start().await;
    let url = stack.postgres.create_database("bench").await;
    let dir = rundir::fresh("bench");
    let mut env = service_env(stack.kafka.brokers(), &url, ports::free_port(), &stripe_url, &dir);
    let concurrency = std::env::var("BENCH_CONCURRENCY").unwrap_or("256".into());
    for (name, value) in [
        ("DEFAULT_PRICE", "5000 usd"),
        ("STRIPE_MAX_REQUESTS_PER_SECOND", "10000"),
        ("TOPIC_PARTITIONS", "12"),
        ("RUST_LOG", "warn"),
        ("DATABASE_POOL_SIZE", "16"),
        ("PROCESSOR_CONCURRENCY", &concurrency),
    ] {
        env.insert(name.to_owned(), value.to_owned());
    }
    for args in [["db", "migrate"], ["topics", "apply"]] {
        let output = run_calctl(&args, &env).await;
        assert!(output.status.success(), "{output:?}");
    }
    let started = Instant::now();
    let records: Vec<_> = deliveries().iter().map(record).collect();
    assert_eq!(records.len(), EVENTS);
    produce_many(stack.kafka.brokers(), "calendly.events", &[], &records).await;
    println!("loaded in {:?}", started.elapsed());
    let yardstick = if std::env::var("BENCH_PGBENCH").is_ok() { pgbench(&stack).await } else { 0.0 };
    println!("pgbench {yardstick}/s");

    let processor = Service::spawn(Binary::Processor, &env);
    processor.wait_ready(Duration::from_secs(30)).await;
    let processed = async || processor.metrics().await.sum("events_processed_total", &[]);
    while processed().await < 1.0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (begun, cpu, first) = (Instant::now(), cpu_seconds(processor.pid()), processed().await);
    loop {
        let n = processed().await;
        if n >= EVENTS as f64 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(begun.elapsed() < Duration::from_mins(2), "{n}");
    }
    let took = begun.elapsed().as_secs_f64();
    let cpu = cpu_seconds(processor.pid()) - cpu;
    let n = EVENTS as f64 - first;
    println!("{n} events in {took:.2} s: {:.0}/s, {:.3} CPU-s per 1000; stripe {counts:?}", n / took, cpu / n * 1000.0);
    println!("ratio {:.2}", n / took / yardstick);
    let database = postgres::connect(&url).await;
    for row in database.query("SELECT status, payment_status, count(*) FROM bookings GROUP BY 1, 2", &[]).await.unwrap()
    {
        println!("{} {} {}", row.get::<_, String>(0), row.get::<_, String>(1), row.get::<_, i64>(2));
    }
    println!("{:?}", processor.metrics().await.sum("events_processed_total", &[("outcome", "retried")]));
    let pids: Vec<u32> = vec![];
    let _ = pids;
}

const SCRIPT: &str = r"
\set n random(1, 1000000000000)
BEGIN;
INSERT INTO bookings (id, invitee_uri, event_uri, event_type_uri, event_name, invitee_email, invitee_name, start_time, end_time, amount_minor, currency) VALUES (md5('b' || :n)::uuid, 'https://api.calendly.com/scheduled_events/AAAAAAAAAAAAAAAA/invitees/' || :n, 'https://api.calendly.com/scheduled_events/' || :n, 'https://api.calendly.com/event_types/AAAAAAAAAAAAAAAA', '30 Minute Meeting', 'someone' || :n || '@example.com', 'Some One', now(), now(), 5000, 'usd');
INSERT INTO booking_invitees VALUES ('https://api.calendly.com/scheduled_events/AAAAAAAAAAAAAAAA/invitees/' || :n, md5('b' || :n)::uuid);
INSERT INTO booking_events (event_id, booking_id, event_type, occurred_at, fact) VALUES (md5('e' || :n)::uuid, md5('b' || :n)::uuid, 'invitee.created', now(), '{fact}');
INSERT INTO stripe_operations (id, booking_id, kind, target, idempotency_key, params) VALUES (md5('o' || :n)::uuid, md5('b' || :n)::uuid, 'create_session', '0.0#0', 'key' || :n, '{params}');
UPDATE stripe_operations SET state = 'done', settled_at = now() WHERE id = md5('o' || :n)::uuid;
UPDATE bookings SET checkout_session_id = 'cs_test_' || :n, checkout_url = 'https://checkout.example/' || :n WHERE id = md5('b' || :n)::uuid;
COMMIT;
";

async fn pgbench(stack: &Stack) -> f64 {
    let url = stack.postgres.create_database("yardstick").await;
    let mut env = service_env(stack.kafka.brokers(), &url, 1, "http://127.0.0.1:1", &rundir::fresh("yard"));
    env.insert("TOPIC_PREFIX".into(), "y.".into());
    assert!(run_calctl(&["db", "migrate"], &env).await.status.success());
    let fact = r#"{"kind":"booked","invitee_uri":"https://api.calendly.com/scheduled_events/AAAAAAAAAAAAAAAA/invitees/BBBBBBBBBBBBBBBB","event_uri":"https://api.calendly.com/scheduled_events/AAAAAAAAAAAAAAAA","event_type_uri":"https://api.calendly.com/event_types/AAAAAAAAAAAAAAAA","event_name":"30 Minute Meeting","email":"someone@example.com","name":"Some One","start_time":"2026-11-24T10:00:00Z","end_time":"2026-11-24T10:30:00Z"}"#;
    let params = r#"[["mode","payment"],["client_reference_id","0193-"],["line_items[0][price_data][currency]","usd"],["line_items[0][price_data][unit_amount]","5000"],["success_url","https://shop.example/paid"],["cancel_url","https://shop.example/cancelled"],["expires_at","1764000000"],["metadata[booking_id]","0193"],["metadata[operation_id]","0193"]]"#;
    let script = std::env::temp_dir().join("yardstick.sql");
    std::fs::write(&script, SCRIPT.replace("{fact}", fact).replace("{params}", params)).unwrap();
    let output = tokio::process::Command::new("/usr/lib/postgresql/15/bin/pgbench")
        .args(["-n", "-M", "prepared", "-c", "32", "-j", "2", "-T", "8", "-f"])
        .arg(&script)
        .arg(&url)
        .output()
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    println!("{text}");
    text.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok()).unwrap_or(0.0)
}
