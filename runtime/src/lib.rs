//! How any binary of ours runs: configuration from the environment, logs and traces, metrics, health, ordered shutdown,
//! Kafka clients, and the schema registry. It knows no event.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail loudly"))]

pub mod admin;
pub mod entry;
pub mod env;
pub mod health;
mod healthcheck;
pub mod kafka;
pub mod listen;
pub mod metrics;
pub mod registry;
pub mod shutdown;
pub mod telemetry;
