//! The processor: consumes events, keeps bookings in the database and money at Stripe right.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail loudly"))]

pub mod books;
pub mod breaker;
mod changes;
pub mod config;
pub mod execute;
pub mod failure;
mod gauges;
pub mod handlers;
mod money;
mod perform;
pub mod pipeline;
pub mod route;
mod spans;
mod start;
pub mod stripe;
pub mod sweep;

pub use config::Config;
pub use start::{ADMIN_ADDR, run};
