//! Turns events into bookings in the database and money at Stripe.

use std::process::ExitCode;

/// An event is many small allocations.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    runtime::entry::main("processor", env!("CARGO_PKG_VERSION"), processor::ADMIN_ADDR, processor::run)
}
