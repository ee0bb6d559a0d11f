//! The demo: the whole stack on this machine, scripted deliveries through it, and a table of what came of them.

mod case;
mod eyes;
mod keep;
mod ladder;
mod progress;
mod script;
mod stack;
mod stage;

use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};

use self::case::Case;
use self::progress::Progress;
use self::stack::Stack;
use self::stage::Stage;
use crate::rundir;
use crate::table::table;

/// What to do with the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Send the scripted deliveries, judge, stop.
    Script,
    /// Keep it running until Ctrl-C.
    Keep,
}

/// What a shell makes of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// Runs the demo and stops everything again, also on Ctrl-C and SIGTERM.
pub async fn run(mode: Mode) -> ExitCode {
    let mut stop = Stop::new();
    let progress = Progress::start();
    let started = tokio::select! {
        started = Stack::start(&progress) => started,
        () = stop.asked() => {
            progress.say("Interrupted; stopping what has been started …");
            return ExitCode::from(INTERRUPTED);
        }
    };
    let stack = match started {
        Ok(stack) => stack,
        Err(problem) => {
            eprintln!("demo: {problem}");
            return ExitCode::FAILURE;
        }
    };
    match mode {
        Mode::Script => scripted(stack, &progress, &mut stop).await,
        Mode::Keep => kept(stack, &progress, &mut stop).await,
    }
}

async fn scripted(stack: Stack, progress: &Progress, stop: &mut Stop) -> ExitCode {
    let stage = Stage::new(&stack, progress);
    let played = tokio::select! {
        played = script::play(&stage) => Ok(played),
        // Without it every further step would wait in vain.
        problem = stack.service_ended() => Err(Some(problem)),
        () = stop.asked() => Err(None),
    };
    progress.say("Stopping everything …");
    let mut problems = stack.stop().await;
    progress.say("Stopped.");
    let script::Played { cases, dead_letter, problems: more } = match played {
        Ok(played) => played,
        Err(Some(problem)) => return verdict(&[problem]),
        Err(None) => return ExitCode::from(INTERRUPTED),
    };
    problems.extend(more);
    println!("\n{}", table(&Case::COLUMNS, &cases.iter().map(Case::cells).collect::<Vec<_>>()));
    if !dead_letter.is_empty() {
        println!("The dead letter's headers:\n{dead_letter}");
    }
    problems.splice(0..0, cases.iter().flat_map(Case::differences));
    verdict(&problems)
}

fn verdict(problems: &[String]) -> ExitCode {
    if problems.is_empty() {
        println!("Every outcome is as expected.");
        return ExitCode::SUCCESS;
    }
    println!("Not as expected:");
    for problem in problems {
        println!("- {problem}");
    }
    println!("The services' logs are in {}", rundir::run_dir().display());
    ExitCode::FAILURE
}

async fn kept(stack: Stack, progress: &Progress, stop: &mut Stop) -> ExitCode {
    let ended = tokio::select! {
        ended = keep::keep(&stack, progress) => Some(ended),
        () = stop.asked() => None,
    };
    println!();
    progress.say("Stopping everything …");
    let mut problems: Vec<String> = ended.into_iter().collect();
    problems.extend(stack.stop().await);
    progress.say("Stopped.");
    for problem in &problems {
        eprintln!("demo: {problem}");
    }
    if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Ctrl-C and SIGTERM.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn new() -> Self {
        let on = |kind| signal(kind).expect("signals can be watched");
        Self { interrupt: on(SignalKind::interrupt()), terminate: on(SignalKind::terminate()) }
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
