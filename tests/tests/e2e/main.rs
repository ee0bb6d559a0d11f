//! The whole path, with our real binaries, a real broker and a real database.

mod audit;
mod bookings;
mod breaker;
mod bugs;
mod crash;
mod dashboard;
mod dlq;
mod expectation;
mod failpoints;
mod front_door;
mod histories;
mod limits;
mod locks;
mod metrics;
mod openapi;
mod ops;
mod privacy;
mod relay;
mod releases;
mod retries;
mod rules;
mod simulate;
mod spool;
mod startup;
mod traces;
mod world;
