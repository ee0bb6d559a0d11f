//! HTTP front door: verifies webhooks and makes them durable.

use std::process::ExitCode;

/// A delivery is many small allocations, made on one thread and freed on another.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    runtime::entry::main("ingest", env!("CARGO_PKG_VERSION"), ingest::ADMIN_ADDR, ingest::run)
}
