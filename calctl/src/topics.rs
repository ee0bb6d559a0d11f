//! `calctl topics`.

use std::time::Duration;

use anyhow::bail;
use runtime::env::Env;
use runtime::kafka::{KafkaConfig, diagnose, ensure_topics};
use runtime::shutdown::Shutdown;
use schemas::ladder::RetryLadder;
use schemas::topics::Topics;
use serde::Serialize;

use crate::output::{Printer, table};

/// An operator waits for an answer; a service would wait on.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Serialize)]
struct Row {
    topic: String,
    state: &'static str,
}

pub(crate) async fn apply(env: &Env, printer: &Printer) -> anyhow::Result<()> {
    let mut kafka = KafkaConfig::from_env(env)?;
    // That variable is about what services do by themselves; this command was asked to.
    kafka.create_topics = true;
    let ladder = env.parse("RETRY_DELAYS", RetryLadder::default())?;
    let topics = Topics::new(&kafka.prefix, &ladder);
    let shutdown = Shutdown::new();
    let specs = topics.specs();
    let Ok(created) = tokio::time::timeout(PATIENCE, ensure_topics(&kafka, &specs, &shutdown)).await else {
        bail!("no broker of {} answered within 20 s ({})", kafka.brokers, why(kafka.clone()).await);
    };
    let created = created?;
    let state = |topic: &str| if created.iter().any(|name| name == topic) { "created" } else { "present" };
    let rows: Vec<Row> =
        topics.all().into_iter().map(|topic| Row { topic: topic.to_owned(), state: state(topic) }).collect();
    printer.print(&rows, |rows| {
        let cells: Vec<_> = rows.iter().map(|row| vec![row.topic.clone(), row.state.to_owned()]).collect();
        table(&["TOPIC", "STATE"], &cells)
    })
}

async fn why(kafka: KafkaConfig) -> String {
    let asked = tokio::task::spawn_blocking(move || diagnose(&kafka)).await;
    asked.ok().flatten().unwrap_or_else(|| "they were slow; try again".to_owned())
}
