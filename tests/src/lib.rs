//! Harness of the end-to-end tests, the demo and the benchmarks: a real Kafka, a real PostgreSQL, our real binaries,
//! and doubles of Calendly and Stripe.

pub mod bench;
pub mod calendly;
pub mod calendly_api;
pub mod chaos;
pub mod demo;
pub mod kafka;
mod maven;
pub mod metrics;
pub mod otlp;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod prometheus;
pub mod proxy;
pub mod python;
pub mod registry;
pub mod rundir;
pub mod sandbox;
pub mod service;
pub mod shared;
pub mod story;
pub mod stripe;
mod table;
pub mod tls;
pub mod wait;

pub use sandbox::Sandbox;
pub use service::{Binary, Service, run_calctl};
pub use wait::{eventually, within};
