//! The whole path, with our real binaries, a real broker and a real database.

mod bookings;
mod breaker;
mod crash;
mod dashboard;
mod failpoints;
mod front_door;
mod histories;
mod openapi;
mod releases;
mod retries;
mod startup;
mod world;
