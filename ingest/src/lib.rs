//! Ingest: a webhook comes in, is verified, becomes a durable record, and only then is answered with 200.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail loudly"))]

pub mod answer;
mod body;
pub mod config;
mod guardian;
mod memory;
pub mod publish;
mod reload;
mod routes;
mod server;
pub mod signature;
pub mod spool;
mod start;
mod webhook;

pub use config::{ADMIN_ADDR, Config};
pub use guardian::GuardianConfig;
pub use start::{Listeners, run, serve};
