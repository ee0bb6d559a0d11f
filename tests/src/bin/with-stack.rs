//! `with-stack [--] COMMAND ARGUMENTS…` runs a command with one Kafka and one PostgreSQL for all of its tests.

use std::process::{Command, ExitCode};
use std::time::Instant;

use tests::postgres::Durability;
use tests::process::{Signal, guard, plain_panics};
use tests::rundir;
use tests::shared::{DATABASE_VARIABLE, KAFKA_VARIABLE, Stack};

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1).skip_while(|arg| arg == "--");
    let Some(program) = args.next() else {
        eprintln!("usage: with-stack [--] COMMAND ARGUMENTS…");
        return ExitCode::from(2);
    };
    plain_panics();
    let started = Instant::now();
    let stack = Stack::start(Durability::Fast);
    eprintln!("Apache Kafka and PostgreSQL started in {:.1} s", started.elapsed().as_secs_f32());
    let child = Command::new(&program)
        .args(args)
        .env(KAFKA_VARIABLE, stack.kafka.brokers())
        .env(DATABASE_VARIABLE, stack.postgres.url("postgres"))
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            eprintln!("with-stack: cannot run {}: {error}", program.display());
            return ExitCode::from(127);
        }
    };
    guard(child.id(), Signal::Term);
    let status = child.wait().expect("our own child can be waited for");
    drop(stack);
    rundir::remove();
    // Killed by a signal: no code, and surely no success.
    ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
