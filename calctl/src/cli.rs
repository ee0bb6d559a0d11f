//! The command line.

use ::bookings::Price;
use clap::{Parser, Subcommand, ValueEnum};

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
    /// Dead letters.
    #[command(subcommand)]
    Dlq(DlqCommand),
    /// Checks that every event that was accepted is applied, waits for a retry, or is a dead letter.
    ///
    /// Exits with 1 and the ids of the events that are missing, if there are any. Services may run meanwhile.
    Audit(Window),
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
    Top(Top),
    /// Sends signed sample deliveries to an ingest: bookings, cancellations, reschedules, duplicates.
    ///
    /// Signs with the first of `CALENDLY_SIGNING_KEYS`. The bookings are real to the pipeline: not for production.
    Simulate(Simulation),
}

#[derive(Debug, Subcommand)]
pub(crate) enum TopicsCommand {
    /// Creates the topics that are missing, one retry topic for each of `RETRY_DELAYS`.
    Apply,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SchemasCommand {
    /// Registers this release's schemas as far as they are missing, and sets their compatibility.
    Apply,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DbCommand {
    /// Brings the schema up to date.
    Migrate,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PricesCommand {
    /// Lists the prices that are set.
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
    /// Shows bookings with their history and what was asked of Stripe.
    Show {
        /// A booking id, your reference, an invitee's or event's URI, or an e-mail address.
        name: String,
    },
    /// Opens a new Checkout session for a booking whose last one ended unpaid, and prints its address.
    Checkout {
        /// A booking id, your reference, an invitee's or event's URI, or an e-mail address. It must name one booking.
        name: String,
    },
}
