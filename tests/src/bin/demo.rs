//! `make demo` and `make up`: the whole path at work on a real Kafka and a real PostgreSQL.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Duration;

use tests::demo::{Mode, run};

const USAGE: &str = "usage: demo [--keep]\n\n\
    Starts Kafka, PostgreSQL, a Stripe double and the three services, and sends signed Calendly deliveries through them.\n\
    Exits 0 only when every outcome is as expected.\n\n  \
    --keep  run until Ctrl-C and print where everything is, in place of the scripted deliveries";

/// A server that is just being started when Ctrl-C comes must first come up to be stopped.
const STOP_DEADLINE: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let mut mode = Mode::Script;
    for arg in std::env::args().skip(1) {
        match arg.as_str() {
            "--keep" => mode = Mode::Keep,
            "--help" | "-h" => {
                println!("{USAGE}");
                return ExitCode::SUCCESS;
            }
            other => {
                eprintln!("demo: {other} is unknown\n{USAGE}");
                return ExitCode::from(2);
            }
        }
    }
    // The harness panics with a sentence for people; source lines and backtraces would only hide it.
    std::panic::set_hook(Box::new(|info| eprintln!("demo: {}", info.payload_as_str().unwrap_or("a bug in the demo"))));
    let runtime = tokio::runtime::Runtime::new().expect("the async runtime starts");
    let code = catch_unwind(AssertUnwindSafe(|| runtime.block_on(run(mode))));
    runtime.shutdown_timeout(STOP_DEADLINE);
    code.unwrap_or(ExitCode::FAILURE)
}
