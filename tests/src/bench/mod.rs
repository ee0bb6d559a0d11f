//! Benchmarks of the binaries, built as for the images, on a real Kafka and a real PostgreSQL.
//!
//! A scenario starts what it needs, measures, and hands back figures, some of them with a target. To add one: a module
//! with `async fn run() -> Vec<Figure>`, and an entry in [`Scenario`].

pub mod bare;
mod clients;
mod floor;
mod ingest;
mod latency;
pub mod load;
mod percentiles;
mod pgbench;
mod processor;
mod report;
mod retrier;
mod server;
mod stripe;
mod usage;
pub mod waiting;

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;

pub use self::percentiles::Percentiles;
pub use self::report::{Figure, Target};
use self::usage::at_rest;
pub use self::usage::{Stopwatch, Usage};

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// Signed deliveries into Kafka and into the spool.
    Ingest,
    /// Stored events drained into bookings.
    Processor,
    /// From the webhook to the booking.
    Latency,
    /// Records that wait in the tiers, and their release.
    Retrier,
}

impl Scenario {
    /// Every scenario, in the order of `make bench`.
    pub const ALL: [Self; 4] = [Self::Ingest, Self::Processor, Self::Latency, Self::Retrier];

    /// As in `make bench ONLY=name`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Processor => "processor",
            Self::Latency => "latency",
            Self::Retrier => "retrier",
        }
    }

    /// The scenario of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scenario| scenario.name() == name)
    }

    async fn run(self) -> Vec<Figure> {
        match self {
            Self::Ingest => ingest::run().await,
            Self::Processor => processor::run().await,
            Self::Latency => latency::run().await,
            Self::Retrier => retrier::run().await,
        }
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Scenarios that could not be run to their end.
    pub broken: usize,
    /// Targets that were missed.
    pub missed: usize,
}

/// Runs scenarios one after the other. Prints one table, and writes `target/bench/<scenario>.json` for each.
pub async fn run(scenarios: &[Scenario]) -> Verdict {
    let mut verdict = Verdict::default();
    let mut all = Vec::new();
    for scenario in scenarios {
        eprintln!("bench: {} …", scenario.name());
        // What a scenario started ends as its future is dropped, whichever way it ends.
        let Ok(figures) = AssertUnwindSafe(scenario.run()).catch_unwind().await else {
            eprintln!("bench: {} could not be measured", scenario.name());
            verdict.broken += 1;
            continue;
        };
        report::write(scenario.name(), &figures);
        verdict.missed += figures.iter().filter(|figure| figure.is_met() == Some(false)).count();
        all.extend(figures.into_iter().map(|figure| (scenario.name(), figure)));
    }
    println!("{}", report::render(&all));
    verdict
}
