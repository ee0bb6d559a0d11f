//! The yardstick of latency: one record through Kafka and one insert, with nothing of ours between the two.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rdkafka::Message as _;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio_postgres::NoTls;

use super::Percentiles;
use crate::kafka::create_topic;
use crate::shared::Stack;

const TOPIC: &str = "floor";
const COUNT: usize = 1_000;
/// The first second, in which the clients find their way.
const WARM_UP: usize = 100;
const EVERY: Duration = Duration::from_millis(10);
/// About what a delivery has.
const BODY: [u8; 2_500] = [b'x'; 2_500];
const POLL: Duration = Duration::from_secs(10);

/// Milliseconds from sending a record to the commit of its row, at 100 a second.
///
/// # Panics
/// When a record does not arrive, or its row cannot be written.
pub(super) async fn run(stack: &Stack) -> Percentiles {
    let brokers = stack.kafka.brokers().to_owned();
    create_topic(&brokers, TOPIC, 1).await;
    let url = stack.postgres.create_database("floor").await;
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.expect("the database is there");
    tokio::spawn(connection);
    client.batch_execute("CREATE TABLE floor (id int8 PRIMARY KEY, body bytea)").await.expect("a new database");
    let insert = client.prepare("INSERT INTO floor VALUES ($1, $2)").await.expect("the table is there");
    let sent: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let (arrived, mut arrivals) = tokio::sync::mpsc::unbounded_channel();
    let consuming = {
        let brokers = brokers.clone();
        tokio::task::spawn_blocking(move || {
            let consumer = consumer(&brokers);
            for _ in 0..COUNT {
                let record = consumer.poll(POLL).expect("a record arrives").expect("it can be read");
                let _ = arrived.send((record.offset(), record.payload().unwrap_or_default().to_vec()));
            }
        })
    };
    let sending = tokio::spawn(send(brokers, sent.clone()));
    let mut times = Vec::with_capacity(COUNT);
    while let Some((offset, body)) = arrivals.recv().await {
        client.execute(&insert, &[&offset, &body]).await.expect("a row can be inserted");
        let began = sent.lock().unwrap()[usize::try_from(offset).expect("offsets count from 0")];
        times.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    consuming.await.expect("every record arrives");
    sending.await.expect("every record is sent");
    Percentiles::new(times.split_off(WARM_UP))
}

fn consumer(brokers: &str) -> BaseConsumer {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", TOPIC)
        .set("enable.auto.commit", "false")
        .create()
        .expect("a consumer can be built");
    let mut from = TopicPartitionList::new();
    from.add_partition_offset(TOPIC, 0, Offset::Beginning).expect("a valid offset");
    consumer.assign(&from).expect("the topic is there");
    consumer
}

async fn send(brokers: String, sent: Arc<Mutex<Vec<Instant>>>) {
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", &brokers).set("acks", "all").set("linger.ms", "0");
    let producer: FutureProducer = settings.create().expect("a producer can be built");
    let mut ticks = tokio::time::interval(EVERY);
    for _ in 0..COUNT {
        ticks.tick().await;
        sent.lock().unwrap().push(Instant::now());
        let record = FutureRecord::<(), [u8]>::to(TOPIC).payload(&BODY);
        producer.send(record, POLL).await.expect("the broker takes the record");
    }
}
