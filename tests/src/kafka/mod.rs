//! A real single-node Apache Kafka (KRaft), and plain clients to look into it.

mod brokerless;
mod client;
mod install;
mod server;

pub use brokerless::BrokerlessProxy;
pub use client::{Isolation, Message, create_topic, produce, produce_many, read_all, wait_for};
pub use server::Kafka;
