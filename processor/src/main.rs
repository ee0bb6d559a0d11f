//! Turns events into bookings in the database and money at Stripe.

use std::process::ExitCode;

fn main() -> ExitCode {
    runtime::entry::main("processor", env!("CARGO_PKG_VERSION"), processor::run)
}
