//! The command line of `calctl dlq`.

use std::num::{NonZeroU32, NonZeroUsize};

use clap::{Args, Subcommand};
use schemas::ladder::ErrorClass;

use crate::moment::Moment;

#[derive(Debug, Subcommand)]
pub(crate) enum DlqCommand {
    /// Lists dead letters, oldest first.
    #[command(
        after_help = "Examples:\n  calctl dlq list --since 1h\n  calctl dlq list --error-class permanent --event-type invitee.created --output json"
    )]
    List(Filter),
    /// Shows an event's dead letters: headers, decoded event, payload. Prints personal data.
    #[command(after_help = "Example:\n  calctl dlq show 01900000-0000-7000-8000-000000000000")]
    Show {
        /// The event's id, as `dlq list` shows it.
        event_id: String,
    },
    /// Hands dead letters back to the processor, each event once. They stay in the DLQ.
    ///
    /// An event goes to the due topic, so data teams do not see it again, and has all of its retries before it. A body that
    /// was no event when it came, and is one now, is published to the topic that it was meant for. Run it again after an
    /// interruption: what was handed back already is skipped.
    #[command(
        after_help = "Examples:\n  calctl dlq replay --since 2h --dry-run\n  calctl dlq replay --error-class exhausted --rate 5"
    )]
    Replay(Replay),
}

/// Which dead letters.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Filter {
    /// Of this event; may be given several times.
    #[arg(long = "event-id", value_name = "ID")]
    pub(crate) event_ids: Vec<String>,
    /// With this class of error; may be given several times.
    #[arg(long = "error-class", value_name = "CLASS")]
    pub(crate) error_classes: Vec<ErrorClass>,
    /// Of events of this type; may be given several times.
    #[arg(long = "event-type", value_name = "TYPE")]
    pub(crate) event_types: Vec<String>,
    /// Dead since then: a duration before now such as 1h, or a time such as 2026-01-02T03:04:05Z.
    #[arg(long, value_name = "WHEN")]
    pub(crate) since: Option<Moment>,
    /// At most so many, the oldest first; of a replay, so many that are handed back.
    #[arg(long, value_name = "COUNT")]
    pub(crate) limit: Option<NonZeroUsize>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Replay {
    #[command(flatten)]
    pub(crate) filter: Filter,
    /// Says what would be done, and does nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Dead letters a second, at most. Stripe has to keep up with it beside the live traffic.
    #[arg(long, value_name = "COUNT", default_value = "20")]
    pub(crate) rate: NonZeroU32,
    /// Who does it, for the records' `replayed-by` header; without it, user@host.
    #[arg(long, value_name = "NAME")]
    pub(crate) by: Option<String>,
    /// Also those that were handed back already since they died.
    #[arg(long)]
    pub(crate) again: bool,
    /// Leaves alone what has come back from so many replays.
    #[arg(long, value_name = "COUNT", default_value = "3")]
    pub(crate) max_replays: NonZeroU32,
}
