//! `calctl`: prepares topics, schemas, the database and Calendly's subscription, sets prices, shows bookings, handles dead
//! letters, audits, sends samples.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail loudly"))]

mod audit;
mod backfill;
mod bookings;
mod cli;
mod database;
mod dlq;
mod doctor;
mod kafka;
mod moment;
mod output;
mod prices;
mod privacy;
mod progress;
mod reference;
mod registry;
mod simulate;
mod top;
mod topics;
mod webhooks;

use std::process::ExitCode;

use clap::Parser;
use runtime::env::Env;

use self::cli::{
    BookingsCommand, Cli, Command, DbCommand, PricesCommand, PrivacyCommand, SchemasCommand, TopicsCommand,
};
use self::output::Printer;

const WRONG_USAGE: u8 = 2;

/// Runs the command line and returns the exit code: 0 done, 1 failed, 2 wrong usage.
pub async fn main() -> ExitCode {
    // clap itself answers --help and --version with 0 and wrong usage with 2.
    let cli = Cli::parse();
    runtime::entry::install_crypto();
    match run(cli, &Env::from_process()).await {
        Ok(()) => ExitCode::SUCCESS,
        // Arguments that do not go together, as clap would say it.
        Err(error) if error.is::<clap::Error>() => {
            output::complain(&error.to_string());
            ExitCode::from(WRONG_USAGE)
        }
        Err(error) => {
            output::complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli, env: &Env) -> anyhow::Result<()> {
    let printer = Printer::new(cli.output);
    match cli.command {
        Command::Topics(TopicsCommand::Apply) => topics::apply(env, &printer).await,
        Command::Schemas(SchemasCommand::Apply) => registry::apply(env, &printer).await,
        Command::Db(DbCommand::Migrate) => database::migrate(env, &printer).await,
        Command::Prices(PricesCommand::List) => prices::list(env, &printer).await,
        Command::Prices(PricesCommand::Set { event_type_uri, price }) => {
            prices::set(env, &printer, &event_type_uri, &price).await
        }
        Command::Bookings(BookingsCommand::Show { name }) => bookings::show(env, &printer, &name).await,
        Command::Bookings(BookingsCommand::Checkout { name }) => bookings::checkout(env, &printer, &name).await,
        Command::Privacy(PrivacyCommand::Erase { email, dry_run }) => {
            privacy::erase(env, &printer, &email, dry_run).await
        }
        Command::Webhooks(command) => webhooks::run(env, &printer, command).await,
        Command::Dlq(command) => dlq::run(env, &printer, command).await,
        Command::Simulate(simulation) => simulate::run(env, &printer, &simulation).await,
        Command::Top(top) => top::run(env, &printer, &top).await,
        Command::Completions { shell } => reference::completions(shell),
        Command::Man { folder } => reference::man(folder.as_deref()),
        Command::Reference => reference::markdown(),
        // Boxed: it holds what all of its checks hold.
        Command::Doctor => Box::pin(doctor::run(env, &printer)).await,
        Command::Audit(window) => audit::run(env, &printer, &window).await,
        Command::Backfill(span) => backfill::run(env, &printer, span).await,
    }
}
