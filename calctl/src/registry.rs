//! `calctl schemas`.

use anyhow::Context;
use runtime::env::{ConfigError, Env};
use runtime::kafka::KafkaConfig;
use runtime::registry::{Registry, RegistryConfig, booking_subject, subjects};
use schemas::ladder::RetryLadder;
use schemas::topics::Topics;
use serde::Serialize;

use crate::output::{Printer, table};

#[derive(Serialize)]
struct Row {
    subject: String,
    id: u32,
}

pub(crate) async fn apply(env: &Env, printer: &Printer) -> anyhow::Result<()> {
    let missing = || ConfigError::new("SCHEMA_REGISTRY_URL", "is missing or empty; without it no schema is registered");
    let mut config = RegistryConfig::from_env(env)?.ok_or_else(missing)?;
    // That variable is about what services do by themselves; this command was asked to.
    config.register = true;
    let registry = Registry::new(&config).context("cannot build the HTTP client for the schema registry")?;
    let topics = Topics::new(&KafkaConfig::from_env(env)?.prefix, &RetryLadder::default());
    let mut rows = Vec::new();
    for subject in subjects(&topics).into_iter().chain([booking_subject(&topics)]) {
        let id = registry.id_of(&subject.name, subject.schema).await?;
        registry.protect(&subject.name).await?;
        rows.push(Row { id, subject: subject.name });
    }
    printer.print(&rows, |rows| {
        let cells: Vec<_> = rows.iter().map(|row| vec![row.subject.clone(), row.id.to_string()]).collect();
        table(&["SUBJECT", "ID"], &cells)
    })
}
