//! A topic of numbered records, and members of a group that read it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use runtime::env::Env;
use runtime::health::Health;
use runtime::kafka::consumer::{self, Completion, ConsumerError, ConsumerSettings, Handler};
use runtime::kafka::{KafkaConfig, Record};
use runtime::shutdown::Shutdown;
use tests::Sandbox;
use tests::kafka::{create_topic, produce_many};
use tokio::task::JoinHandle;

/// Far more than anything here takes, for machines that are busy with something else.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) const GROUP: &str = "readers";

pub(crate) struct Topic {
    pub(crate) sandbox: Sandbox,
    pub(crate) name: String,
}

impl Topic {
    pub(crate) async fn new(test: &str, partitions: i32) -> Self {
        let sandbox = Sandbox::new(test).await;
        let name = sandbox.topic("numbers");
        create_topic(sandbox.brokers(), &name, partitions).await;
        Self { sandbox, name }
    }

    pub(crate) fn config(&self) -> KafkaConfig {
        config(self.sandbox.brokers())
    }

    pub(crate) fn group(&self) -> String {
        self.sandbox.topic(GROUP)
    }

    /// Writes the numbers of a range, as their own text, with `keys` different keys in turn.
    pub(crate) async fn write(&self, numbers: std::ops::Range<u64>, keys: u64) {
        let records: Vec<_> =
            numbers.map(|number| (format!("key-{}", number % keys), number.to_string().into_bytes())).collect();
        produce_many(self.sandbox.brokers(), &self.name, &[], &records).await;
    }

    pub(crate) fn member<H: Handler>(&self, concurrency: usize, handler: &Arc<H>) -> Member {
        Member::start(&self.config(), &self.group(), &self.name, concurrency, handler)
    }
}

pub(crate) fn config(brokers: &str) -> KafkaConfig {
    KafkaConfig::from_env(&Env::from_pairs([("KAFKA_BROKERS", brokers)])).unwrap()
}

/// One running consumer.
pub(crate) struct Member {
    pub(crate) health: Health,
    shutdown: Shutdown,
    task: JoinHandle<Result<(), ConsumerError>>,
}

impl Member {
    pub(crate) fn start<H: Handler>(
        config: &KafkaConfig,
        group: &str,
        topic: &str,
        concurrency: usize,
        handler: &Arc<H>,
    ) -> Self {
        let (health, shutdown) = (Health::new(), Shutdown::new());
        let settings = ConsumerSettings {
            group: group.to_owned(),
            topics: vec![topic.to_owned()],
            concurrency,
            drain: Duration::from_secs(10),
            lag_metric: "lag_of_tests",
            health: health.component("consumer"),
        };
        let (config, handler, stop) = (config.clone(), handler.clone(), shutdown.clone());
        let task = tokio::spawn(async move { consumer::run(&config, settings, handler, stop).await });
        Self { health, shutdown, task }
    }

    /// Tells it to stop, and does not wait.
    pub(crate) fn signal(&self) {
        self.shutdown.trigger();
    }

    pub(crate) async fn stop(self) {
        self.signal();
        let ended = tokio::time::timeout(PATIENCE, self.task).await.expect("the consumer stops");
        ended.expect("the consumer does not panic").expect("the consumer stops well");
    }
}

pub(crate) fn number(record: &Record) -> u64 {
    std::str::from_utf8(&record.value).unwrap().parse().unwrap()
}

/// What was handled, and whether each key's records came in their order.
#[derive(Default)]
pub(crate) struct Journal {
    entries: Mutex<Entries>,
}

#[derive(Default)]
pub(crate) struct Entries {
    /// How often each number was finished.
    pub(crate) finished: HashMap<u64, u32>,
    pub(crate) total: usize,
    last_of_key: HashMap<Vec<u8>, u64>,
    running: HashMap<Vec<u8>, u64>,
}

impl Journal {
    pub(crate) fn begin(&self, record: &Record) {
        let (number, key) = (number(record), record.key.clone().unwrap());
        let other = self.entries.lock().unwrap().running.insert(key, number);
        assert_eq!(other, None, "{number} began while another of its key was being handled");
    }

    /// Within one assignment a key's numbers only rise.
    pub(crate) fn end_in_order(&self, record: &Record) {
        let mut entries = self.entries.lock().unwrap();
        let last = entries.last_of_key.insert(record.key.clone().unwrap(), number(record));
        assert!(last < Some(number(record)), "{} after {last:?}", number(record));
        drop(entries);
        self.end(record);
    }

    pub(crate) fn end(&self, record: &Record) {
        let mut entries = self.entries.lock().unwrap();
        entries.running.remove(record.key.as_ref().unwrap());
        *entries.finished.entry(number(record)).or_default() += 1;
        entries.total += 1;
    }

    pub(crate) fn with<T>(&self, look: impl FnOnce(&Entries) -> T) -> T {
        look(&self.entries.lock().unwrap())
    }

    /// Waits until so many different numbers are finished.
    pub(crate) async fn wait_for(&self, count: usize) {
        let what = format!("{count} records to be finished");
        tests::eventually(PATIENCE, what, async || self.with(|e| e.finished.len() >= count).then_some(())).await;
    }
}

/// Takes the same time for every record.
pub(crate) struct Steady {
    pub(crate) journal: Journal,
    pub(crate) takes: Duration,
}

impl Steady {
    pub(crate) fn new(takes: Duration) -> Arc<Self> {
        Arc::new(Self { journal: Journal::default(), takes })
    }
}

impl Handler for Steady {
    async fn handle(&self, record: Record) -> Completion {
        self.journal.begin(&record);
        if !self.takes.is_zero() {
            tokio::time::sleep(self.takes).await;
        }
        self.journal.end_in_order(&record);
        Completion::Done
    }
}
