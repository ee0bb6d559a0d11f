//! The command line.

use std::path::PathBuf;

use ::bookings::Price;
use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::audit::Window;
use crate::backfill::Span;
use crate::dlq::DlqCommand;
use crate::simulate::Simulation;
use crate::top::Top;
use crate::webhooks::WebhooksCommand;

/// Operates calendly-pipeline. Configuration comes from the same environment variables as the services'.
#[derive(Debug, Parser)]
#[command(name = "calctl", version, propagate_version = true)]
pub(crate) struct Cli {
    /// How to print results.
    #[arg(long, global = true, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How to print results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Kafka topics.
    #[command(subcommand)]
    Topics(TopicsCommand),
    /// Schemas in the schema registry.
    #[command(subcommand)]
    Schemas(SchemasCommand),
    /// The database.
    #[command(subcommand)]
    Db(DbCommand),
    /// Calendly's subscriptions to our webhook.
    #[command(subcommand)]
    Webhooks(WebhooksCommand),
    /// Prices by event type.
    #[command(subcommand)]
    Prices(PricesCommand),
    /// Bookings.
    #[command(subcommand)]
    Bookings(BookingsCommand),
    /// Personal data.
    #[command(subcommand)]
    Privacy(PrivacyCommand),
    /// Dead letters.
    #[command(subcommand)]
    Dlq(DlqCommand),
    /// Checks that every event that was accepted is applied, waits for a retry, or is a dead letter.
    ///
    /// Exits with 1 and the ids of the events that are missing, if there are any. Services may run meanwhile.
    #[command(
        after_help = "Examples:\n  calctl audit\n  calctl audit --since 2026-01-02T00:00:00Z --until 2026-01-03T00:00:00Z --output json"
    )]
    Audit(Window),
    /// Checks the configuration and everything that the services depend on, one line each, with what to do.
    ///
    /// Only looks: it publishes, registers and changes nothing. Exits with 1 when something fails.
    #[command(after_help = "Examples:\n  calctl doctor\n  calctl doctor --output json")]
    Doctor,
    /// Publishes what happened at Calendly and was perhaps not delivered: bookings, cancellations, reschedules, no-shows.
    ///
    /// Asks Calendly's API, and publishes to `calendly.events` what its deliveries would have been, with the same ids: what
    /// had been delivered comes twice and counts once, so a longer time than needed does no harm, nor does a second run.
    /// A no-show that was unmarked since, and routing forms, are not told by the API. Rate limits are waited for.
    #[command(after_help = "Examples:\n  calctl backfill --since 24h --dry-run\n  calctl backfill --since \
                            2026-01-02T03:00:00Z --until 2026-01-03T12:00:00Z")]
    Backfill(Span),
    /// Shows whether bookings flow, and where they are stuck: rates, lag, what waits, what is dead.
    ///
    /// Reads the services' metrics, every two seconds until Ctrl-C.
    #[command(
        after_help = "Examples:\n  calctl top\n  calctl top --once --from http://processor-0:9465,http://processor-1:9465"
    )]
    Top(Top),
    /// Sends signed sample deliveries to an ingest: bookings, cancellations, reschedules, duplicates.
    ///
    /// Signs with the first of `CALENDLY_SIGNING_KEYS`. The bookings are real to the pipeline: not for production.
    #[command(
        after_help = "Examples:\n  calctl simulate --url http://127.0.0.1:8080\n  calctl simulate --url https://hooks.example.com --count 40 --rate 5 --shuffle"
    )]
    Simulate(Simulation),
    /// Prints a shell's script that completes calctl's commands and options.
    #[command(
        after_help = "Examples:\n  calctl completions bash > /etc/bash_completion.d/calctl\n  calctl completions zsh > \"${fpath[1]}/_calctl\"\n  calctl completions fish > ~/.config/fish/completions/calctl.fish"
    )]
    Completions {
        /// Whose.
        shell: Shell,
    },
    /// Prints the manual page, or writes one for each command into a folder.
    #[command(after_help = "Examples:\n  calctl man | man -l -\n  calctl man /usr/local/share/man/man1")]
    Man {
        /// Where the pages go: `calctl.1`, `calctl-dlq-replay.1` and so on.
        folder: Option<PathBuf>,
    },
    /// Prints docs/CLI.md.
    #[command(hide = true)]
    Reference,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TopicsCommand {
    /// Creates the topics that are missing, one retry topic for each of `RETRY_DELAYS`.
    #[command(
        after_help = "Examples:\n  calctl topics apply\n  TOPIC_PREFIX=staging. TOPIC_REPLICATION=3 calctl topics apply"
    )]
    Apply,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SchemasCommand {
    /// Registers this release's schemas as far as they are missing, and sets their compatibility.
    #[command(after_help = "Example:\n  SCHEMA_REGISTRY_URL=http://registry:8081 calctl schemas apply")]
    Apply,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DbCommand {
    /// Brings the schema up to date.
    #[command(after_help = "Example:\n  DATABASE_URL=postgres://calendly_owner@db/calendly calctl db migrate")]
    Migrate,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PricesCommand {
    /// Lists the prices that are set.
    #[command(after_help = "Examples:\n  calctl prices list\n  calctl prices list --output json")]
    List,
    /// Sets the price of an event type: `free`, or minor units and a currency such as "5000 usd".
    #[command(
        after_help = "Example:\n  calctl prices set https://api.calendly.com/event_types/AAAAAAAAAAAAAAAA \"5000 usd\""
    )]
    Set {
        /// Calendly's URI of the event type.
        event_type_uri: String,
        /// The price.
        price: Price,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum BookingsCommand {
    /// Shows bookings with their history and what was asked of Stripe. Prints personal data.
    #[command(
        after_help = "Examples:\n  calctl bookings show ada@example.com\n  calctl bookings show 01900000-0000-7000-8000-000000000000 --output json"
    )]
    Show {
        /// A booking id, your reference, an invitee's or event's URI, or an e-mail address.
        name: String,
    },
    /// Opens a new Checkout session for a booking whose last one ended unpaid, and prints its address.
    #[command(after_help = "Example:\n  calctl bookings checkout order-4711")]
    Checkout {
        /// A booking id, your reference, an invitee's or event's URI, or an e-mail address. It must name one booking.
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum PrivacyCommand {
    /// Removes a person from the database, for good, and from `bookings.changes`.
    ///
    /// Their bookings stay without name and address, for the money's sake. Services may run meanwhile.
    #[command(
        after_help = "Examples:\n  calctl privacy erase ada@example.com --dry-run\n  calctl privacy erase ada@example.com"
    )]
    Erase {
        /// The e-mail address, in any case. Every booking that ever had it counts.
        email: String,
        /// Only show which bookings these are.
        #[arg(long)]
        dry_run: bool,
    },
}
