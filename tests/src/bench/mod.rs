//! Benchmarks.
#![allow(missing_docs)]
pub mod processor;
pub mod stripe;
