//! What `calctl webhooks` can be told.

use std::path::PathBuf;

use calendly::{ResourceUri, Scope, SubscriptionId, Url};
use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum WebhooksCommand {
    /// Lists the subscriptions of a scope, to whatever address.
    #[command(after_help = "Examples:\n  calctl webhooks list\n  calctl webhooks list --scope user --output json")]
    List {
        #[command(flatten)]
        whose: Whose,
    },
    /// Makes a subscription, whatever there is already.
    #[command(
        after_help = "Example:\n  calctl webhooks register --url https://hooks.example.com/webhooks/calendly --dry-run"
    )]
    Register {
        #[command(flatten)]
        subscribe: Subscribe,
    },
    /// Deletes a subscription.
    #[command(
        after_help = "Example:\n  calctl webhooks delete https://api.calendly.com/webhook_subscriptions/AAAAAAAAAAAAAAAA"
    )]
    Delete {
        /// Its URI, as `calctl webhooks list` shows it.
        uri: SubscriptionId,
        /// Looks whether it is there, and deletes nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Sees to it that there is one active subscription with our address and at least the events, and no other with
    /// that address. Changes nothing when it is so.
    #[command(
        after_help = "Example:\n  PUBLIC_URL=https://hooks.example.com calctl webhooks ensure --signing-key-file ./calendly.key"
    )]
    Ensure(Ensure),
}

/// Whose subscriptions.
#[derive(Debug, Args)]
pub(crate) struct Whose {
    /// `organization`, `user` or `group`, in place of `CALENDLY_SCOPE`.
    #[arg(long)]
    pub(super) scope: Option<Scope>,
    /// The user of the scope `user`; without it, the token's owner.
    #[arg(long, value_name = "URI", conflicts_with = "group")]
    pub(super) user: Option<ResourceUri>,
    /// The group of the scope `group`, in place of `CALENDLY_GROUP`.
    #[arg(long, value_name = "URI")]
    pub(super) group: Option<ResourceUri>,
}

/// What to subscribe to.
#[derive(Debug, Args)]
pub(crate) struct Subscribe {
    #[command(flatten)]
    pub(super) whose: Whose,
    /// Where Calendly delivers; without it, `PUBLIC_URL` with `/webhooks/calendly`.
    #[arg(long)]
    pub(super) url: Option<Url>,
    /// An event, such as `invitee.created`; may be repeated. Without it, those that the processor handles.
    #[arg(long = "event", value_name = "EVENT")]
    pub(super) events: Vec<String>,
    /// The signing key, in place of the first of `CALENDLY_SIGNING_KEYS`: read from this file, or made and written
    /// there (mode 600). With neither, a key is made and printed once.
    #[arg(long, value_name = "PATH")]
    pub(super) signing_key_file: Option<PathBuf>,
    /// Shows what would be done.
    #[arg(long)]
    pub(super) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Ensure {
    #[command(flatten)]
    pub(super) subscribe: Subscribe,
    /// Makes a new subscription though there is a right one, to give it another signing key.
    #[arg(long)]
    pub(super) renew: bool,
}
