//! Tells whether the brokers answer: for `/readyz`, and as the one log line that an operator needs.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};

use super::client::{QuietContext, SetupError};
use super::config::KafkaConfig;
use crate::health::Component;
use crate::shutdown::Shutdown;

const INTERVAL: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_millis(1500);

/// Asks the brokers for metadata every two seconds until shutdown, and keeps `component` up to date.
pub fn watch_brokers(config: &KafkaConfig, component: Component, shutdown: Shutdown) -> Result<(), SetupError> {
    let client: BaseConsumer<QuietContext> = config.client().create_with_context(QuietContext)?;
    let client = std::sync::Arc::new(client);
    let brokers = config.brokers.clone();
    tokio::spawn(async move {
        let mut was_up = None;
        while !shutdown.is_cancelled() {
            let asked = client.clone();
            let up = tokio::task::spawn_blocking(move || probe(&asked)).await.unwrap_or(false);
            if was_up != Some(up) {
                report(up, was_up.is_some(), &brokers, &component);
                was_up = Some(up);
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    });
    Ok(())
}

fn probe(client: &BaseConsumer<QuietContext>) -> bool {
    // Serves the client's events, so that its queue does not grow.
    let _ = client.poll(Duration::ZERO);
    client.fetch_metadata(None, TIMEOUT).is_ok_and(|metadata| !metadata.brokers().is_empty())
}

fn report(up: bool, again: bool, brokers: &str, component: &Component) {
    if up {
        component.up();
        if again {
            tracing::info!(brokers, "Kafka answers again");
        }
    } else {
        component.down("no broker answers");
        tracing::warn!(
            brokers,
            "Kafka is not reachable; trying on (check KAFKA_BROKERS and the KAFKA_SASL_*/SSL settings)"
        );
    }
}
