//! The Stripe double as a program, for demonstrations and for tests of built binaries.

use std::process::ExitCode;

use tests::stripe::{Options, StripeDouble};

const USAGE: &str = "usage: stripe-double [--addr 127.0.0.1:12111] [--public-url URL] [--secret-key sk_test_…] \
                     [--webhook-url URL] [--webhook-secret whsec_…] [--seed N] [--rate N]";

#[tokio::main]
async fn main() -> ExitCode {
    let options = match options(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("{problem}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let double = StripeDouble::start_with(options).await;
    println!("stripe double on {}", double.url());
    wait_for_signal().await;
    ExitCode::SUCCESS
}

async fn wait_for_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).unwrap();
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

fn options(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    // A new start must not give out the ids of the last one: the database may know them.
    let seed = u64::from(std::process::id()) ^ jiff::Timestamp::now().as_microsecond().unsigned_abs();
    let mut options = Options { addr: ([127, 0, 0, 1], 12111).into(), seed, ..Options::default() };
    while let Some(name) = args.next() {
        let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
        let wrong = |error: &dyn std::fmt::Display| format!("{name} {value}: {error}");
        match name.as_str() {
            "--addr" => options.addr = value.parse().map_err(|error| wrong(&error))?,
            "--public-url" => options.public_url = Some(value),
            "--secret-key" => options.secret_key = value,
            "--webhook-url" => options.webhook_url = Some(value),
            "--webhook-secret" => options.webhook_secret = value,
            "--seed" => options.seed = value.parse().map_err(|error| wrong(&error))?,
            "--rate" => options.requests_per_second = Some(value.parse().map_err(|error| wrong(&error))?),
            _ => return Err(format!("{name}: unknown")),
        }
    }
    Ok(options)
}
