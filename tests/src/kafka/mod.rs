//! A real single-node Apache Kafka (KRaft), and plain clients to look into it.

mod client;
mod install;
mod metadata;
mod secured;
mod server;
mod tools;

pub use client::{Isolation, Message, create_topic, produce, produce_many, read_all, wait_for};
pub use metadata::{Metadata, MetadataProxy};
pub use secured::{Listeners, Secured};
pub use server::Kafka;
pub use tools::run_tool;
