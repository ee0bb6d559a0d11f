//! Harness, doubles, demo and end-to-end tests.

pub mod calendly;
pub mod stripe;
