//! Ingest: a webhook comes in, is verified, becomes a durable record, and only then is answered with 200.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail loudly"))]

pub mod answer;
pub mod config;
pub mod publish;
pub mod server;
pub mod signature;
mod start;
mod webhook;

pub use config::Config;
pub use start::run;
