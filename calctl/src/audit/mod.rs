//! `calctl audit`: was every event that was accepted dealt with?
//!
//! It reads while the services work, and events move: from an event topic into the history, a tier or the DLQ, from a
//! tier to the due topic, from there on. Whoever moves one delivers it first and commits its old place after. So the
//! order of reading is what makes the answer right:
//!
//! 1. what the processor has committed, then what the retrier has;
//! 2. the topics as they are after that: a record at or behind a committed offset is one that waits;
//! 3. the database.
//!
//! An event that was in some place when the first step was taken is found there, or where it has gone since, because
//! that place is read later.

mod accepted;
mod places;
mod report;

use anyhow::bail;
use clap::Args;
use jiff::{SignedDuration, Timestamp};
use runtime::env::Env;

use self::accepted::Accepted;
use self::places::Places;
use self::report::Report;
use crate::database;
use crate::kafka::Kafka;
use crate::moment::Moment;
use crate::output::Printer;

/// How far the clocks of those who write into topics may be apart.
const CLOCKS: SignedDuration = SignedDuration::from_mins(10);
const DEFAULT_HOURS: i64 = 24;

/// Which events to look at, by when they came into their topic.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Window {
    /// Events accepted since then: a duration before now such as 1h, or a time such as 2026-01-02T03:04:05Z;
    /// without it, 24h.
    #[arg(long, value_name = "WHEN")]
    since: Option<Moment>,
    /// Events accepted before then; without it, until now.
    #[arg(long, value_name = "WHEN")]
    until: Option<Moment>,
}

pub(crate) async fn run(env: &Env, printer: &Printer, window: &Window) -> anyhow::Result<()> {
    let kafka = Kafka::from_env(env)?;
    let store = database::open(env)?;
    let since = window.since.unwrap_or_else(|| Moment::hours_ago(DEFAULT_HOURS)).0;
    let until = window.until.map(|until| until.0);
    if until.is_some_and(|until| until <= since) {
        let problem = "--until is not after --since\n";
        return Err(clap::Error::raw(clap::error::ErrorKind::ValueValidation, problem).into());
    }
    let now = Timestamp::now();
    let places = Places::committed(&kafka).await?;
    let mut accepted = Accepted::default();
    places.accepted(&kafka, (since, until), &mut accepted).await?;
    places.waiting(&kafka, &mut accepted).await?;
    places.dead(&kafka, since, &mut accepted).await?;

    let recorded = store.recorded_events(&accepted.to_look_up()).await?;
    let settled = store.settled_events(&accepted.failed_among(&recorded)).await?;
    let report = Report::new(since, until.unwrap_or(now), &accepted, &recorded, &settled);
    printer.print(&report, Report::text)?;
    match report.missing.len() {
        0 => Ok(()),
        1 => bail!("1 event was accepted and is nowhere; produce its record to the due topic to have it handled"),
        n => bail!(
            "{n} events were accepted and are nowhere; produce their records to the due topic to have them handled"
        ),
    }
}
