//! Clients that lose their brokers for ever, or do not get into their group, while the brokers are there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use runtime::health::{Health, Status};
use runtime::kafka::consumer::{Completion, Handler};
use runtime::kafka::relay::{self, Arrival, RelayError, RelaySettings, Timetable};
use runtime::kafka::{KafkaConfig, OutgoingRecord, Producer, Record};
use runtime::shutdown::Shutdown;
use tests::kafka::{Kafka, Metadata, MetadataProxy, create_topic, produce};
use tests::{eventually, rundir};
use tokio::task::JoinHandle;

use crate::fixture::{Journal, Member, PATIENCE, config};

const TOPIC: &str = "numbers";
/// Its records are moved to the other at once.
const WAITING: &str = "waiting";

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
        for number in numbers {
            let found = || self.0.with(|entries| entries.finished.contains_key(number));
            eventually(PATIENCE, format!("{number} to be finished"), async || found().then_some(())).await;
        }
    }
}

struct AtOnce;

impl Timetable for AtOnce {
    fn due_at(&self, _: &Arrival<'_>) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn moved(&self, _: &str, _: &[Timestamp], _: Timestamp) {}

    fn waiting(&self, _: &str, _: u64) {}

    fn first_due(&self, _: &str, _: Option<Timestamp>) {}
}

struct Relay {
    health: Health,
    shutdown: Shutdown,
    task: JoinHandle<Result<(), RelayError>>,
}

impl Relay {
    fn start(config: &KafkaConfig) -> Self {
        let (health, shutdown) = (Health::new(), Shutdown::new());
        let settings = RelaySettings {
            group: "relays".to_owned(),
            topics: vec![WAITING.to_owned()],
            target: TOPIC.to_owned(),
            due_header: "due",
            transactional_id: "relay".to_owned(),
            lag_metric: "lag_of_tests",
            health: health.component("relay"),
        };
        let (config, stop) = (config.clone(), shutdown.clone());
        let task = tokio::spawn(async move { relay::run(&config, settings, Arc::new(AtOnce), stop).await });
        Self { health, shutdown, task }
    }

    async fn stop(self) {
        self.shutdown.trigger();
        let ended = tokio::time::timeout(PATIENCE, self.task).await.expect("the relay stops");
        ended.expect("the relay does not panic").expect("the relay stops well");
    }
}

/// One test for all clients and for what is no reason, because the counters are the process's.
#[tokio::test(flavor = "multi_thread")]
async fn clients_without_brokers_are_built_anew_and_others_are_left_alone() {
    runtime::metrics::install().unwrap();
    let kafka = tokio::task::spawn_blocking(|| Kafka::start(&rundir::fresh("kafka-wedged"))).await.unwrap();
    create_topic(kafka.brokers(), TOPIC, 2).await;
    create_topic(kafka.brokers(), WAITING, 2).await;
    let proxy = kafka.metadata_proxy().await;
    let config = config(&proxy.addr().to_string());
    let handler = Arc::new(Any::default());
    let member = Member::start(&config, "readers", TOPIC, 8, &handler);
    let producer = Producer::new(&config, Duration::from_secs(2)).unwrap();
    let relay = Relay::start(&config);
    send(&producer, "1").await;
    produce(kafka.brokers(), WAITING, Some(b"11"), b"11", &[]).await;
    handler.wait_for(&[1, 11]).await;

    let kafka = Arc::new(kafka);
    outage(&kafka, &producer, &member).await;
    send(&producer, "2").await;
    produce(kafka.brokers(), WAITING, Some(b"12"), b"12", &[]).await;
    handler.wait_for(&[1, 2, 12]).await;
    let are_ready = || member.health.is_ready() && relay.health.is_ready();
    eventually(PATIENCE, "readiness", async || are_ready().then_some(())).await;
    assert_eq!(["producer", "consumer", "relay"].map(rebuilds), [0.0; 3]);

    // A restart makes clients ask for metadata, mostly. Those that go on without asking lose their connections again.
    proxy.answer(Metadata::Brokerless);
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
    let consumers = || ["consumer", "relay"].map(rebuilds).iter().all(|count| *count > 0.0);
    eventually(PATIENCE, "a new consumer and a new relay", async || {
        if relay.health.is_ready() && rebuilds("relay") == 0.0 {
            proxy.cut();
        }
        consumers().then_some(())
    })
    .await;
    proxy.answer(Metadata::Whole);
    send(&producer, "4").await;
    produce(kafka.brokers(), WAITING, Some(b"14"), b"14", &[]).await;
    handler.wait_for(&[1, 2, 3, 4, 11, 12, 14]).await;
    eventually(PATIENCE, "readiness", async || are_ready().then_some(())).await;
    member.stop().await;
    relay.stop().await;
    left_out(&config, &proxy, &handler).await;
    refused(&config, &handler).await;
}

/// A member that never hears of its topics is connected, and does not ask to be let into its group.
async fn left_out(config: &KafkaConfig, proxy: &MetadataProxy, handler: &Arc<Any>) {
    let before = rebuilds("consumer");
    proxy.answer(Metadata::Withheld);
    let member = Member::start(config, "readers", TOPIC, 8, handler);
    says(&member, "does not get to join its group").await;
    // For whoever asks from now on. What was asked before gets no answer, and is asked again after a minute.
    proxy.answer(Metadata::Whole);
    eventually(PATIENCE, "readiness", async || member.health.is_ready().then_some(())).await;
    assert!(rebuilds("consumer") > before);
    member.stop().await;
}

/// A group whose other members share partitions in another way than we do takes none of us in. A new client is no help.
async fn refused(config: &KafkaConfig, handler: &Arc<Any>) {
    let before = rebuilds("consumer");
    let mut other = ClientConfig::new();
    other.set("bootstrap.servers", &config.brokers).set("group.id", "readers");
    let other: BaseConsumer = other.set("partition.assignment.strategy", "range").create().unwrap();
    other.subscribe(&[TOPIC]).unwrap();
    let other = tokio::task::spawn_blocking(move || {
        let until = Instant::now() + PATIENCE;
        while other.assignment().unwrap().count() == 0 && Instant::now() < until {
            let _ = other.poll(Duration::from_millis(100));
        }
        other
    });
    let other = other.await.unwrap();
    let member = Member::start(config, "readers", TOPIC, 8, handler);
    says(&member, "is not let into its group by the brokers; the log says why").await;
    // Leaves the group.
    tokio::task::spawn_blocking(move || drop(other)).await.unwrap();
    eventually(PATIENCE, "readiness", async || member.health.is_ready().then_some(())).await;
    assert_eq!(rebuilds("consumer"), before);
    member.stop().await;
}

async fn says(member: &Member, detail: &'static str) {
    let is_told = || member.health.snapshot()["consumer"].status == Status::Down { detail };
    eventually(PATIENCE, format!("{detail:?}"), async || is_told().then_some(())).await;
}

/// Brokers that are away are no reason, however long.
async fn outage(kafka: &Arc<Kafka>, producer: &Producer, member: &Member) {
    let broker = kafka.clone();
    tokio::task::spawn_blocking(move || broker.stop()).await.unwrap();
    eventually(PATIENCE, "the outage to be told", async || (!member.health.is_ready()).then_some(())).await;
    let until = Instant::now() + Duration::from_secs(8);
    while Instant::now() < until {
        let _ = producer.send(&record("0")).await;
    }
    let broker = kafka.clone();
    tokio::task::spawn_blocking(move || broker.restart()).await.unwrap();
}

fn record(number: &str) -> OutgoingRecord<'_> {
    OutgoingRecord { topic: TOPIC, key: Some(number.as_bytes()), value: number.as_bytes(), headers: &[] }
}

async fn send(producer: &Producer, number: &str) {
    let what = format!("{number} to be delivered");
    eventually(PATIENCE, what, async || producer.send(&record(number)).await.ok()).await;
}
