//! `make chaos`: breaks things at random under load and counts what is lost.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Duration;

use tests::chaos::{Plan, run};

const USAGE: &str = "usage: chaos\n\n\
    Breaks services, broker, database and Stripe in turn while customers book, and exits 0 only when nothing was lost.\n\n  \
    CHAOS_SECONDS  how long things are broken, 60 by default, 3600 at most\n  \
    CHAOS_SEED     repeats a run's choices";

const STOP_DEADLINE: Duration = Duration::from_secs(30);

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

fn main() -> ExitCode {
    if std::env::args().len() > 1 {
        println!("{USAGE}");
        return ExitCode::from(2);
    }
    std::panic::set_hook(Box::new(|info| eprintln!("chaos: {}", info.payload_as_str().unwrap_or("a bug in chaos"))));
    let seconds = number("CHAOS_SECONDS").unwrap_or(60).clamp(5, 3600);
    let seed = number("CHAOS_SEED").unwrap_or_else(rand::random::<u64>);
    let runtime = tokio::runtime::Runtime::new().expect("the async runtime starts");
    let plan = Plan { duration: Duration::from_secs(seconds), seed };
    let code = catch_unwind(AssertUnwindSafe(|| runtime.block_on(run(plan))));
    runtime.shutdown_timeout(STOP_DEADLINE);
    code.unwrap_or(ExitCode::FAILURE)
}
