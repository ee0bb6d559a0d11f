//! The operator's command.

use std::process::ExitCode;
use std::time::Duration;

/// What still runs when the command has ended is a question that nobody waits for, such as one to a dead name server.
const THREADS_DEADLINE: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let Ok(runtime) = tokio::runtime::Runtime::new() else { return ExitCode::FAILURE };
    let code = runtime.block_on(calctl::main());
    runtime.shutdown_timeout(THREADS_DEADLINE);
    code
}
