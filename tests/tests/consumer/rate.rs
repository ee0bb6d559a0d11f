//! What a record costs. Run by hand, optimised:
//! `cargo test --release -p tests --test consumer -- --ignored --nocapture rate::`

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use runtime::kafka::Record;
use runtime::kafka::consumer::{Completion, Handler};
use tests::kafka::{produce, produce_many};

use crate::fixture::{PATIENCE, Topic};

#[derive(Default)]
struct Count(AtomicUsize);

impl Handler for Count {
    async fn handle(&self, _: Record) -> Completion {
        self.0.fetch_add(1, Ordering::Relaxed);
        Completion::Done
    }
}

/// CPU seconds of this process.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    // The kernel counts in hundredths of a second for everybody.
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn of_a_backlog() {
    const RECORDS: usize = 200_000;
    let topic = Topic::new("rate", 12).await;
    let headers: Vec<(&str, &[u8])> = vec![
        ("event-id", b"c0bfc20c-208f-5267-ad35-645449e2e0d3"),
        ("event-type", b"invitee.created"),
        ("received-at", b"2026-11-24T14:18:55.904600Z"),
        ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ];
    for _ in 0..10 {
        let records: Vec<_> = (0..RECORDS / 10)
            .map(|_| (format!("https://api.calendly.com/{:x}", rand::random::<u64>()), vec![7; 1500]))
            .collect();
        produce_many(topic.sandbox.brokers(), &topic.name, &headers, &records).await;
    }
    for round in 0..3 {
        let handler = Arc::new(Count::default());
        let group = format!("{}-{round}", topic.group());
        let member = crate::fixture::Member::start(&topic.config(), &group, &topic.name, 64, &handler);
        while handler.0.load(Ordering::Relaxed) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let (started, first, before) = (Instant::now(), handler.0.load(Ordering::Relaxed), cpu());
        while handler.0.load(Ordering::Relaxed) < RECORDS {
            assert!(started.elapsed() < PATIENCE);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let (records, seconds) = ((RECORDS - first) as f64, started.elapsed().as_secs_f64());
        let per_thousand = (cpu() - before) / records * 1000.0;
        println!("{:.0} records/s, {:.4} CPU-s per 1,000 records", records / seconds, per_thousand);
        member.stop().await;
    }
}

struct Delay(std::sync::Mutex<Vec<f64>>);

impl Handler for Delay {
    async fn handle(&self, record: Record) -> Completion {
        let sent: i64 = std::str::from_utf8(&record.value).unwrap().parse().unwrap();
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let micros = (Timestamp::now().as_microsecond() - sent) as f64;
        self.0.lock().unwrap().push(micros / 1000.0);
        Completion::Done
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn of_waiting_for_a_single_record() {
    let topic = Topic::new("delay", 12).await;
    let handler = Arc::new(Delay(std::sync::Mutex::default()));
    let member = topic.member(64, &handler);
    // One producer of our own: its acknowledgement and the delivery run side by side.
    produce(topic.sandbox.brokers(), &topic.name, Some(b"first"), b"0", &[]).await;
    let producer = runtime::kafka::Producer::new(&topic.config(), PATIENCE).unwrap();
    let mut acknowledged = Vec::new();
    for number in 0..600 {
        let (key, begun) = (format!("key-{number}"), Instant::now());
        let value = Timestamp::now().as_microsecond().to_string();
        let record = runtime::kafka::OutgoingRecord {
            topic: &topic.name,
            key: Some(key.as_bytes()),
            value: value.as_bytes(),
            headers: &[],
        };
        producer.send(&record).await.unwrap();
        acknowledged.push(begun.elapsed().as_secs_f64() * 1000.0);
        tokio::time::sleep(Duration::from_millis(10).saturating_sub(begun.elapsed())).await;
    }
    let what = "600 records";
    tests::eventually(PATIENCE, what, async || (handler.0.lock().unwrap().len() > 600).then_some(())).await;
    let mut delays = handler.0.lock().unwrap().split_off(101);
    for (name, values) in [("acknowledged", &mut acknowledged), ("handled", &mut delays)] {
        values.sort_by(f64::total_cmp);
        let at = |percent: usize| values[values.len() * percent / 100];
        println!("{name} after: p50 {:.2} ms, p99 {:.2} ms", at(50), at(99));
    }
    member.stop().await;
}
