//! A relay whose thread never comes back from a call: nobody can free it, so the relay has to end, and with it the process.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use runtime::env::Env;
use runtime::health::Health;
use runtime::kafka::KafkaConfig;
use runtime::kafka::relay::{self, Arrival, RelayError, RelaySettings, Timetable};
use runtime::shutdown::Shutdown;
use tests::Sandbox;
use tests::kafka::{create_topic, produce};

/// It is given 90 s, since calls whose timeouts hold may take long when they come together.
const LONG: Duration = Duration::from_mins(4);

/// Stands for a call that forgets its timeout.
struct Never;

impl Timetable for Never {
    fn due_at(&self, _: &Arrival<'_>) -> Timestamp {
        loop {
            std::thread::park();
        }
    }

    fn moved(&self, _: &str, _: &[Timestamp], _: Timestamp) {}

    fn waiting(&self, _: &str, _: u64) {}

    fn first_due(&self, _: &str, _: Option<Timestamp>) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_hangs_ends() {
    let sandbox = Sandbox::new("hang").await;
    let topic = |name: &str| sandbox.topic(name);
    for name in ["waiting", "due"] {
        create_topic(sandbox.brokers(), &topic(name), 1).await;
    }
    produce(sandbox.brokers(), &topic("waiting"), Some(b"key"), b"value", &[]).await;
    let config = KafkaConfig::from_env(&Env::from_pairs([("KAFKA_BROKERS", sandbox.brokers())])).unwrap();
    let settings = RelaySettings {
        group: topic("relays"),
        topics: vec![topic("waiting")],
        target: topic("due"),
        due_header: "due",
        transactional_id: topic("relay"),
        lag_metric: "lag_of_tests",
        health: Health::new().component("relay"),
    };
    let running = relay::run(&config, settings, Arc::new(Never), Shutdown::new());
    let ended = tokio::time::timeout(LONG, running).await.expect("it does not wait for the thread");
    assert!(matches!(ended, Err(RelayError::Hung)), "{ended:?}");
}
