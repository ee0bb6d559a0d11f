//! Benchmarks.
#![allow(missing_docs)]
#![allow(clippy::cast_precision_loss, reason = "counts are small")]
pub mod ingest;
pub mod load;
pub mod processor;
pub mod stripe;
