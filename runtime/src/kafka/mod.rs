//! Kafka clients as our services need them: a producer whose send resolves with the delivery report, a consumer that
//! commits only what is finished, a relay that moves records from topic to topic exactly once, and a producer of which there
//! is one at a time.

mod client;
mod config;
pub mod consumer;
mod depth;
mod fenced;
mod inspect;
mod probe;
mod producer;
pub mod read;
mod record;
pub mod relay;
mod statistics;
mod topics;
mod trouble;

pub use client::SetupError;
pub use config::{KafkaConfig, MAX_RECORD_BYTES, SecurityProtocol};
pub use depth::watch_depth;
pub use fenced::{FencedError, FencedProducer, KeyedRecord};
pub use inspect::{GroupState, GroupTrouble, Inspection, TopicFlaw, inspect};
pub use probe::watch_brokers;
pub use producer::{Delivered, OutgoingRecord, Producer, SendError, end_publish_span, publish_span};
pub use record::Record;
pub use topics::{TopicError, ensure_topics};
pub use trouble::diagnose;
