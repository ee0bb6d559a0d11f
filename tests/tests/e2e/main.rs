//! The whole path, with our real binaries, a real broker and a real database.

mod audit;
mod bookings;
mod crash;
mod dlq;
mod expectation;
mod front_door;
mod histories;
mod releases;
mod retries;
mod simulate;
mod startup;
mod world;
