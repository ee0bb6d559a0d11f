//! The life of a service's process: arguments, logs, the service itself, signals, the exit code.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::env::{ConfigError, Env};
use crate::healthcheck;
use crate::shutdown::Shutdown;
use crate::telemetry::{self, Telemetry};

/// How long a service may drain after the first signal. The contract gives 30 s to be gone; the rest of that is for
/// sending the last spans and for threads that have to end.
pub const DRAIN_DEADLINE: Duration = Duration::from_secs(25);
const THREADS_DEADLINE: Duration = Duration::from_secs(1);

const EXIT_FAILED: u8 = 1;
const EXIT_USAGE: u8 = 2;
const EXIT_CONFIG: u8 = 64;

/// Runs a service until it ends by itself or after a signal, and returns the exit code of the process.
///
/// `run` reads all of its configuration before it logs anything, so that a wrong one leaves exactly one line.
/// `admin_addr` is the service's default of `ADMIN_ADDR`, for `--healthcheck`.
pub fn main<F, Run>(service: &'static str, version: &str, admin_addr: &'static str, run: F) -> ExitCode
where
    F: FnOnce(Env, Shutdown) -> Run,
    Run: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    match arguments(std::env::args_os().skip(1), service, version) {
        Arguments::None => {}
        Arguments::Healthcheck => return check_health(service, admin_addr),
        Arguments::Print(text) => {
            // A closed stdout is the caller's choice.
            let _ = write!(std::io::stdout(), "{text}");
            return ExitCode::SUCCESS;
        }
        Arguments::Wrong(line) => {
            complain(service, &line);
            return ExitCode::from(EXIT_USAGE);
        }
    }
    install_crypto();
    match tokio::runtime::Runtime::new() {
        Ok(runtime) => {
            let code = runtime.block_on(supervise((service, version), Env::from_process(), run));
            runtime.shutdown_timeout(THREADS_DEADLINE);
            ExitCode::from(code)
        }
        Err(error) => {
            complain(service, &format!("cannot start the async runtime: {error}"));
            ExitCode::from(EXIT_FAILED)
        }
    }
}

fn check_health(service: &str, admin_addr: &str) -> ExitCode {
    // The HTTP client wants a TLS provider, though it speaks none here.
    install_crypto();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let asked = runtime.map_err(anyhow::Error::from);
    match asked.and_then(|runtime| runtime.block_on(healthcheck::ask(&Env::from_process(), admin_addr))) {
        Ok(answer) => healthcheck::report(&answer),
        Err(error) => ExitCode::from(failed(service, &error)),
    }
}

/// Makes ring the process's TLS provider; a second call changes nothing.
pub fn install_crypto() {
    // An error means that there is a provider already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

#[derive(Debug, PartialEq, Eq)]
enum Arguments {
    None,
    Healthcheck,
    Print(String),
    Wrong(String),
}

fn arguments(mut given: impl Iterator<Item = OsString>, service: &str, version: &str) -> Arguments {
    let Some(first) = given.next() else { return Arguments::None };
    match (first.to_str(), given.next()) {
        (Some("--version" | "-V"), None) => Arguments::Print(format!("{service} {version}\n")),
        (Some("--healthcheck"), None) => Arguments::Healthcheck,
        (Some("--help" | "-h"), None) => Arguments::Print(format!(
            "{service} {version}\n\nUsage: {service} [--help | --version | --healthcheck]\n\n\
             All configuration is read from the environment; the README lists the variables.\n\
             --healthcheck asks the {service} that runs beside it on ADMIN_ADDR, and exits 0 when it is ready.\n"
        )),
        _ => Arguments::Wrong(format!(
            "takes no arguments (see {service} --help); configuration is read from the environment"
        )),
    }
}

async fn supervise<F, Run>((service, version): (&'static str, &str), env: Env, run: F) -> u8
where
    F: FnOnce(Env, Shutdown) -> Run,
    Run: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let (telemetry, signals) = match prepare(service, &env) {
        Ok(prepared) => prepared,
        Err(error) => return failed(service, &error),
    };
    let shutdown = Shutdown::new();
    // An error comes back when the service asks for the recorder.
    if crate::metrics::install().is_ok() {
        crate::metrics::tell_build(service, version);
    }
    // A task of its own, so that code that blocks its thread cannot keep the signals from being seen.
    let mut running = tokio::spawn(run(env, shutdown.clone()));
    let code = tokio::select! {
        ended = &mut running => match ended {
            Ok(Ok(())) => 0,
            Ok(Err(error)) => failed(service, &error),
            // The error would quote the panic's message, which can hold the data that caused it.
            Err(_) => failed(service, &anyhow::anyhow!("stopped by a bug; the log has the place")),
        },
        reason = overdue(signals, &shutdown) => {
            tracing::error!(reason, "stopping without a clean drain");
            running.abort();
            EXIT_FAILED
        }
    };
    telemetry.finish().await;
    code
}

fn prepare(service: &'static str, env: &Env) -> anyhow::Result<(Telemetry, Signals)> {
    let telemetry = telemetry::init(service, env)?;
    Ok((telemetry, Signals::new()?))
}

/// Prints the one line about a failure and returns the exit code that it calls for.
fn failed(service: &str, error: &anyhow::Error) -> u8 {
    if let Some(wrong) = error.chain().find_map(|cause| cause.downcast_ref::<ConfigError>()) {
        complain(service, &wrong.to_string());
        return EXIT_CONFIG;
    }
    complain(service, &in_one_line(error));
    EXIT_FAILED
}

/// The causes after each other, without those that the text before them quotes already.
fn in_one_line(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |line, cause| {
        if line.is_empty() {
            cause
        } else if line.contains(&cause) {
            line
        } else {
            format!("{line}: {cause}")
        }
    })
}

/// For the lines that must appear whatever the log's format and level are.
fn complain(service: &str, text: &str) {
    let _ = writeln!(std::io::stderr(), "{service}: {}", text.replace(char::is_control, " "));
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Raises `shutdown` at the first signal; returns when the drain that follows has to be cut short.
async fn overdue(mut signals: Signals, shutdown: &Shutdown) -> &'static str {
    let signal = signals.next().await;
    tracing::info!(signal, "draining");
    shutdown.trigger();
    tokio::select! {
        _ = signals.next() => "a second signal",
        () = tokio::time::sleep(DRAIN_DEADLINE) => "the drain took too long",
    }
}

#[cfg(test)]
#[path = "entry_tests.rs"]
mod tests;
