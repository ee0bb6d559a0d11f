//! The keyed consumer and the producer on a real broker, without the services around them.

mod crash;
mod fixture;
mod held;
mod lanes;
mod rate;
mod storm;
mod wedged;
