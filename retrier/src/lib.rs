//! The retrier: of each tier topic, what is due moves to the due topic, exactly once and never early.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail loudly"))]

mod start;
mod timetable;

pub use start::{ADMIN_ADDR, run};
