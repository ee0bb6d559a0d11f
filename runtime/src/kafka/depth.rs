//! How many records a topic holds, for topics that nobody consumes.

use std::sync::Arc;
use std::time::Duration;

use metrics::Gauge;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::metadata::MetadataTopic;

use super::client::{QuietContext, SetupError, events};
use super::config::KafkaConfig;
use crate::shutdown::Shutdown;

const INTERVAL: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(3);

/// Keeps `gauge` at the number of records in `topic` until shutdown. While the brokers are away it stays as it was.
///
/// Counts offsets: right for a topic that is neither compacted nor written by transactions.
pub fn watch_depth(config: &KafkaConfig, topic: &str, gauge: Gauge, shutdown: Shutdown) -> Result<(), SetupError> {
    let client: BaseConsumer<QuietContext> = config.client().create_with_context(QuietContext)?;
    let (client, topic): (_, Arc<str>) = (Arc::new(client), topic.into());
    tokio::spawn(async move {
        while !shutdown.is_cancelled() {
            let (asked, topic) = (client.clone(), topic.clone());
            match tokio::task::spawn_blocking(move || depth(&asked, &topic)).await {
                #[expect(clippy::cast_precision_loss, reason = "a gauge is a float, and no topic holds 2^52 records")]
                Ok(Ok(records)) => gauge.set(records as f64),
                Ok(Err(error)) => tracing::debug!(%error, "the depth of a topic is not known"),
                Err(_) => return,
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    });
    Ok(())
}

fn depth(client: &BaseConsumer<QuietContext>, topic: &str) -> KafkaResult<i64> {
    // Serves the client's events, so that its queue does not grow.
    events(client).for_each(drop);
    let metadata = client.fetch_metadata(Some(topic), TIMEOUT)?;
    let partitions = metadata.topics().iter().flat_map(MetadataTopic::partitions);
    partitions.map(|partition| client.fetch_watermarks(topic, partition.id(), TIMEOUT)).try_fold(0, |sum, ends| {
        let (begin, end) = ends?;
        Ok(sum + end - begin)
    })
}
