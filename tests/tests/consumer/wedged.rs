//! Clients that lose their brokers for ever while the brokers are there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use runtime::kafka::{OutgoingRecord, Producer};
use tests::kafka::{Kafka, create_topic, produce};
use tests::{eventually, rundir};

use crate::fixture::{Member, PATIENCE, Steady, config};

const TOPIC: &str = "numbers";
/// How long metadata name no broker. Every client has asked again by then.
const SPELL: Duration = Duration::from_secs(4);

fn rebuilds(client: &str) -> f64 {
    let text = runtime::metrics::install().unwrap().render();
    let line = format!("kafka_client_rebuilds_total{{client=\"{client}\"}} ");
    text.lines().find_map(|found| found.strip_prefix(&line)).map_or(0.0, |value| value.parse().unwrap())
}

/// One test for both clients and for what is no reason, because the counters are the process's.
#[tokio::test(flavor = "multi_thread")]
async fn clients_without_brokers_are_built_anew_and_others_are_left_alone() {
    runtime::metrics::install().unwrap();
    let kafka = tokio::task::spawn_blocking(|| Kafka::start(&rundir::fresh("kafka-wedged"))).await.unwrap();
    create_topic(kafka.brokers(), TOPIC, 2).await;
    let proxy = kafka.brokerless_proxy().await;
    let config = config(&proxy.addr().to_string());
    let handler = Steady::new(Duration::ZERO);
    let member = Member::start(&config, "readers", TOPIC, 8, &handler);
    let producer = Producer::new(&config, Duration::from_secs(2)).unwrap();
    send(&producer, "1").await;
    handler.journal.wait_for(1).await;

    // Brokers that are away are no reason, however long.
    let kafka = Arc::new(kafka);
    let broker = kafka.clone();
    tokio::task::spawn_blocking(move || broker.stop()).await.unwrap();
    eventually(PATIENCE, "the outage to be told", async || (!member.health.is_ready()).then_some(())).await;
    let until = Instant::now() + Duration::from_secs(8);
    while Instant::now() < until {
        let _ = producer.send(&record("none")).await;
    }
    let broker = kafka.clone();
    tokio::task::spawn_blocking(move || broker.restart()).await.unwrap();
    send(&producer, "2").await;
    handler.journal.wait_for(2).await;
    eventually(PATIENCE, "readiness", async || member.health.is_ready().then_some(())).await;
    assert_eq!((rebuilds("producer"), rebuilds("consumer")), (0.0, 0.0));

    proxy.set_brokerless(true);
    proxy.cut();
    tokio::time::sleep(SPELL).await;
    proxy.set_brokerless(false);
    produce(kafka.brokers(), TOPIC, Some(b"3"), b"3", &[]).await;
    send(&producer, "4").await;
    handler.journal.wait_for(4).await;
    eventually(PATIENCE, "readiness", async || member.health.is_ready().then_some(())).await;
    assert_eq!((rebuilds("producer"), rebuilds("consumer")), (1.0, 1.0));
    member.stop().await;
}

fn record(number: &str) -> OutgoingRecord<'_> {
    OutgoingRecord { topic: TOPIC, key: Some(number.as_bytes()), value: number.as_bytes(), headers: &[] }
}

async fn send(producer: &Producer, number: &str) {
    let what = format!("{number} to be delivered");
    eventually(PATIENCE, what, async || producer.send(&record(number)).await.ok()).await;
}
