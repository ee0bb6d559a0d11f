//! Clients that lose their brokers for ever while the brokers are there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use runtime::kafka::consumer::{Completion, Handler};
use runtime::kafka::{OutgoingRecord, Producer, Record};
use tests::kafka::{Kafka, create_topic, produce};
use tests::{eventually, rundir};

use crate::fixture::{Journal, Member, PATIENCE, config};

const TOPIC: &str = "numbers";

fn rebuilds(client: &str) -> f64 {
    let text = runtime::metrics::install().unwrap().render();
    let line = format!("kafka_client_rebuilds_total{{client=\"{client}\"}} ");
    text.lines().find_map(|found| found.strip_prefix(&line)).map_or(0.0, |value| value.parse().unwrap())
}

/// Repeats and the number 0 do not matter here.
#[derive(Default)]
struct Any(Journal);

impl Handler for Any {
    async fn handle(&self, record: Record) -> Completion {
        self.0.end(&record);
        Completion::Done
    }
}

impl Any {
    async fn wait_for(&self, numbers: &[u64]) {
        let what = format!("{numbers:?} to be finished");
        let found = || self.0.with(|entries| numbers.iter().all(|number| entries.finished.contains_key(number)));
        eventually(PATIENCE, what, async || found().then_some(())).await;
    }
}

/// One test for both clients and for what is no reason, because the counters are the process's.
#[tokio::test(flavor = "multi_thread")]
async fn clients_without_brokers_are_built_anew_and_others_are_left_alone() {
    runtime::metrics::install().unwrap();
    let kafka = tokio::task::spawn_blocking(|| Kafka::start(&rundir::fresh("kafka-wedged"))).await.unwrap();
    create_topic(kafka.brokers(), TOPIC, 2).await;
    let proxy = kafka.brokerless_proxy().await;
    let config = config(&proxy.addr().to_string());
    let handler = Arc::new(Any::default());
    let member = Member::start(&config, "readers", TOPIC, 8, &handler);
    let producer = Producer::new(&config, Duration::from_secs(2)).unwrap();
    send(&producer, "1").await;
    handler.wait_for(&[1]).await;

    // Brokers that are away are no reason, however long.
    let kafka = Arc::new(kafka);
    let broker = kafka.clone();
    tokio::task::spawn_blocking(move || broker.stop()).await.unwrap();
    eventually(PATIENCE, "the outage to be told", async || (!member.health.is_ready()).then_some(())).await;
    let until = Instant::now() + Duration::from_secs(8);
    while Instant::now() < until {
        let _ = producer.send(&record("0")).await;
    }
    let broker = kafka.clone();
    tokio::task::spawn_blocking(move || broker.restart()).await.unwrap();
    send(&producer, "2").await;
    handler.wait_for(&[1, 2]).await;
    eventually(PATIENCE, "readiness", async || member.health.is_ready().then_some(())).await;
    assert_eq!((rebuilds("producer"), rebuilds("consumer")), (0.0, 0.0));

    // A restart makes clients ask for metadata, mostly. Those that go on without asking lose their connections again.
    proxy.set_brokerless(true);
    let broker = kafka.clone();
    tokio::task::spawn_blocking(move || broker.restart()).await.unwrap();
    produce(kafka.brokers(), TOPIC, Some(b"3"), b"3", &[]).await;
    eventually(PATIENCE, "a new producer", async || {
        let result = producer.send(&record("0")).await;
        if result.is_ok() && rebuilds("producer") == 0.0 {
            proxy.cut();
        }
        println!("a send ended with {result:?}");
        (rebuilds("producer") > 0.0).then_some(())
    })
    .await;
    eventually(PATIENCE, "unreadiness", async || {
        if handler.0.with(|entries| entries.finished.contains_key(&3)) && member.health.is_ready() {
            proxy.cut();
        }
        (!member.health.is_ready()).then_some(())
    })
    .await;
    eventually(PATIENCE, "a new consumer", async || (rebuilds("consumer") > 0.0).then_some(())).await;
    proxy.set_brokerless(false);
    send(&producer, "4").await;
    handler.wait_for(&[1, 2, 3, 4]).await;
    eventually(PATIENCE, "readiness", async || member.health.is_ready().then_some(())).await;
    member.stop().await;
}

fn record(number: &str) -> OutgoingRecord<'_> {
    OutgoingRecord { topic: TOPIC, key: Some(number.as_bytes()), value: number.as_bytes(), headers: &[] }
}

async fn send(producer: &Producer, number: &str) {
    let what = format!("{number} to be delivered");
    eventually(PATIENCE, what, async || producer.send(&record(number)).await.ok()).await;
}
