//! `calctl top`: do bookings flow, and if not, where are they stuck? Read from the services' own metrics, so that it
//! needs neither Prometheus nor anything of the environment.

mod draw;
mod overview;
mod scrape;

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use runtime::env::Env;
use schemas::duration::parse_duration;

use self::overview::Overview;
use self::scrape::{Scrape, scrape};
use crate::output::{Printer, is_coloured};

const CONNECT: Duration = Duration::from_secs(2);
const ANSWER: Duration = Duration::from_secs(5);
/// Cursor to the upper left, and what is below it gone.
const CLEAR: &str = "\x1b[H\x1b[J";

/// Where to look, and how often.
#[derive(Clone, Debug, Args)]
pub(crate) struct Top {
    /// Admin addresses of the services (`ADMIN_ADDR`), every instance: repeated, or comma-separated.
    #[arg(
        long,
        value_name = "URL",
        value_delimiter = ',',
        default_values = ["http://127.0.0.1:9464", "http://127.0.0.1:9465", "http://127.0.0.1:9466"]
    )]
    from: Vec<reqwest::Url>,
    /// Between two looks; rates are over this time.
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = parse_duration)]
    interval: Duration,
    /// Prints one overview, after one interval, and ends.
    #[arg(long)]
    once: bool,
}

/// Shows overviews until Ctrl-C, or one. It is an error when no service answers.
pub(crate) async fn run(env: &Env, printer: &Printer, top: &Top) -> anyhow::Result<()> {
    let client = reqwest::Client::builder().connect_timeout(CONNECT).timeout(ANSWER).build();
    let client = client.context("the HTTP client cannot be built")?;
    let terminal = std::io::stdout().is_terminal();
    let coloured = is_coloured(env)?;
    let mut before: Scrape = scrape(&client, &top.from).await;
    loop {
        tokio::time::sleep(top.interval).await;
        let now = scrape(&client, &top.from).await;
        let overview = Overview::between(&before, &now);
        if top.once && !overview.has_services() {
            bail!("no service answers; give their admin addresses with --from");
        }
        if terminal && !top.once {
            let _ = write!(std::io::stdout(), "{CLEAR}");
        }
        printer.print(&overview, |overview| draw::text(overview, coloured))?;
        if top.once {
            return Ok(());
        }
        before = now;
    }
}
