//! HTTP front door: verifies webhooks and makes them durable.

use std::process::ExitCode;

/// A request is many small allocations.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    runtime::entry::main("ingest", env!("CARGO_PKG_VERSION"), ingest::ADMIN_ADDR, ingest::run)
}
