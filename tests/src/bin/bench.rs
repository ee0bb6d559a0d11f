//! `make bench`: throughput, latency and memory of the binaries, built as for the images, against their targets.

use std::process::ExitCode;

use tests::bench::{self, Scenario};
use tests::process::plain_panics;

fn usage() -> String {
    let names: Vec<&str> = Scenario::ALL.into_iter().map(Scenario::name).collect();
    format!(
        "usage: bench [--strict] [SCENARIO...]\n\nMeasures {} (all of them unless named), prints a table and writes \
         target/bench/<scenario>.json.\nExits 1 when one could not be measured.\n\n  \
         --strict  exit 1 also when a target was missed",
        names.join(", ")
    )
}

/// Some scenarios run their yardstick as a process of this program.
fn yardstick() -> Option<u16> {
    let mut args = std::env::args().skip(1);
    if args.next()? == bench::bare::ARGUMENT { args.next()?.parse().ok() } else { None }
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().expect("the async runtime starts");
    if let Some(port) = yardstick() {
        runtime.block_on(bench::bare::serve(port));
        return ExitCode::SUCCESS;
    }
    let (mut strict, mut scenarios) = (false, Vec::new());
    for arg in std::env::args().skip(1) {
        match (arg.as_str(), Scenario::named(&arg)) {
            ("--strict", _) => strict = true,
            ("--help" | "-h", _) => {
                println!("{}", usage());
                return ExitCode::SUCCESS;
            }
            (_, Some(scenario)) => scenarios.push(scenario),
            (other, None) => {
                eprintln!("bench: {other} is unknown\n{}", usage());
                return ExitCode::from(2);
            }
        }
    }
    if scenarios.is_empty() {
        scenarios.extend(Scenario::ALL);
    }
    plain_panics();
    let verdict = runtime.block_on(bench::run(&scenarios));
    let failed = verdict.broken > 0 || strict && verdict.missed > 0;
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
