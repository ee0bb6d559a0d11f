//! HTTP front door: verifies webhooks and makes them durable.

use std::process::ExitCode;

fn main() -> ExitCode {
    runtime::entry::main("ingest", env!("CARGO_PKG_VERSION"), ingest::ADMIN_ADDR, ingest::run)
}
