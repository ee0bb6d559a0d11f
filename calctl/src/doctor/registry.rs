//! The schema registry: this release's schemas, behind ids that mean them.

use runtime::env::{ConfigError, Env};
use runtime::kafka::KafkaConfig;
use runtime::registry::{Registry, RegistryConfig, RegistryError, Subject, booking_subject, subjects};
use schemas::ladder::RetryLadder;
use schemas::topics::Topics;
use serde_json::Value;

use super::finding::Finding;

const CHECK: &str = "schema-registry";

pub(super) async fn check(env: &Env) -> Vec<Finding> {
    let (config, topics) = match read(env) {
        Ok(Some(read)) => read,
        Ok(None) => return vec![Finding::not_configured(CHECK, "SCHEMA_REGISTRY_URL")],
        Err(error) => return vec![Finding::unreadable(CHECK, &error)],
    };
    let looked = match Registry::new(&config) {
        Ok(registry) => look(&registry, subjects(&topics).into_iter().chain([booking_subject(&topics)])).await,
        Err(_) => {
            return vec![Finding::fail(CHECK, "the HTTP client cannot be built", "is this machine out of files?")];
        }
    };
    vec![looked.unwrap_or_else(|error| refused(&error))]
}

fn read(env: &Env) -> Result<Option<(RegistryConfig, Topics)>, ConfigError> {
    let Some(config) = RegistryConfig::from_env(env)? else { return Ok(None) };
    Ok(Some((config, Topics::new(&KafkaConfig::from_env(env)?.prefix, &RetryLadder::default()))))
}

async fn look(registry: &Registry, subjects: impl Iterator<Item = Subject>) -> Result<Finding, RegistryError> {
    let mut ids = Vec::new();
    let mut unprotected = Vec::new();
    for Subject { name, schema, .. } in subjects {
        let Some(id) = registry.look_up(&name, schema).await? else {
            return Err(RegistryError::NotRegistered(name));
        };
        let found = registry.schema(id).await?;
        if !found.is_some_and(|found| is_same(&found, schema)) {
            let detail = format!("the id {id} of {name} stands for another schema");
            let advice =
                "the registry has lost its data or was replaced: restore its storage (OPERATIONS.md, Disaster)";
            return Ok(Finding::fail(CHECK, detail, advice));
        }
        if !registry.is_protected(&name).await? {
            unprotected.push(name.clone());
        }
        ids.push(format!("{name} has id {id}"));
    }
    if unprotected.is_empty() {
        return Ok(Finding::ok(CHECK, ids.join(", ")));
    }
    let detail = format!("the compatibility of {} allows changes that break readers", unprotected.join(", "));
    Ok(Finding::warn(CHECK, detail, "run `calctl schemas apply`"))
}

/// Registries may store it with other blanks.
fn is_same(found: &str, ours: &str) -> bool {
    match (serde_json::from_str::<Value>(found), serde_json::from_str::<Value>(ours)) {
        (Ok(found), Ok(ours)) => found == ours,
        _ => false,
    }
}

fn refused(error: &RegistryError) -> Finding {
    let advice = match error {
        RegistryError::Unavailable(_) => "start it, or correct SCHEMA_REGISTRY_URL",
        RegistryError::NotRegistered(_) | RegistryError::UnknownId(_) => "run `calctl schemas apply`",
        RegistryError::Refused { .. } | RegistryError::Incompatible { .. } => "see what it says, and its log",
    };
    // The error's own text names the remedy for services.
    let detail = match error {
        RegistryError::NotRegistered(subject) => format!("this release's schema of {subject} is not registered"),
        other => other.to_string(),
    };
    Finding::fail(CHECK, detail, advice)
}
