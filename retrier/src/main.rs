//! Releases failed events from their delay tiers when they are due.

use std::process::ExitCode;

fn main() -> ExitCode {
    runtime::entry::main("retrier", env!("CARGO_PKG_VERSION"), retrier::ADMIN_ADDR, retrier::run)
}
