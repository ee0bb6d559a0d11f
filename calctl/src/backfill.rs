//! `calctl backfill`: publishes what Calendly did not deliver.
//!
//! It asks Calendly what happened, and publishes that as ingest would have published the deliveries, with the same ids. So
//! what had been delivered comes twice and counts once, and a run that was cut short is simply run again.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use calendly::{ApiConfig, Backfill, Calendly, Gap, Missed};
use clap::Args;
use jiff::Timestamp;
use runtime::env::Env;
use runtime::kafka::Producer;
use schemas::codec::{Framing, Kind};
use schemas::headers::Headers;
use schemas::{CalendlyEvent, EventRecord, TraceParent};
use serde::Serialize;

use crate::kafka::{Kafka, deliver};
use crate::moment::Moment;
use crate::output::{Printer, table};
use crate::progress::Progress;
use crate::webhooks::{Whose, missing, subject};

const DELIVERY: Duration = Duration::from_secs(15);

/// Which time to look at.
#[derive(Debug, Args)]
pub(crate) struct Span {
    /// What happened since then: a duration before now such as 24h, or a time such as 2026-01-02T03:04:05Z. An hour
    /// before it is looked at too.
    #[arg(long, value_name = "WHEN")]
    since: Moment,
    /// What happened before then, and in the hour after it; without it, until now.
    #[arg(long, value_name = "WHEN")]
    until: Option<Moment>,
    #[command(flatten)]
    whose: Whose,
    /// Shows what would be published.
    #[arg(long)]
    dry_run: bool,
}

/// An event that would be published. No personal data.
#[derive(Serialize)]
struct Row {
    occurred_at: Timestamp,
    event_type: String,
    event_id: String,
    invitee: Option<String>,
}

#[derive(Serialize)]
struct Report {
    dry_run: bool,
    since: Timestamp,
    until: Timestamp,
    /// Meetings that were looked at.
    meetings: u64,
    /// Events by type.
    counts: BTreeMap<&'static str, u64>,
    /// Each of them, when none is published.
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<Vec<Row>>,
}

pub(crate) async fn run(env: &Env, printer: &Printer, span: Span) -> anyhow::Result<()> {
    let now = Timestamp::now();
    let (since, until) = (span.since.0, span.until.map_or(now, |until| until.0));
    if until <= since {
        let problem = "--since is not before --until, or before now\n";
        return Err(clap::Error::raw(clap::error::ErrorKind::ValueValidation, problem).into());
    }
    let config = ApiConfig::from_env(env)?.ok_or_else(|| missing("CALENDLY_TOKEN"))?;
    let client = Calendly::new(&config).context("the HTTP client cannot be built")?;
    // Before Calendly is asked: a wrong variable should not come out after minutes.
    let target = if span.dry_run { None } else { Some(Target::open(env).await?) };
    let subject = subject(env, &client, span.whose).await?;
    let gap = Gap { since, until }.widened();
    let mut backfill = Backfill::new(&client, &subject, gap);
    let mut report = Report::new(gap, span.dry_run);
    if let Err(error) = fetch(&mut backfill, target.as_ref(), &mut report).await {
        return Err(match report.total() {
            published if published > 0 && !span.dry_run => {
                error.context(format!("{published} events are published; run it again, nothing counts twice"))
            }
            _ => error,
        });
    }
    printer.print(&report, Report::text)?;
    let refused = backfill.looked().refused;
    anyhow::ensure!(
        refused == 0,
        "Calendly would not tell what happened to {refused} meetings; the log has their URIs"
    );
    Ok(())
}

async fn fetch(backfill: &mut Backfill, target: Option<&Target>, report: &mut Report) -> anyhow::Result<()> {
    let mut progress = Progress::counting("looking at meetings");
    while let Some(missed) = backfill.next().await? {
        for one in &missed {
            match target {
                Some(target) => target.publish(one).await?,
                None => report.events.get_or_insert_default().push(Row::of(one)?),
            }
            *report.counts.entry(one.event_type()).or_insert(0) += 1;
        }
        report.meetings = backfill.looked().meetings;
        progress.at(report.meetings);
    }
    report.meetings = backfill.looked().meetings;
    Ok(())
}

/// Where events go.
struct Target {
    kafka: Kafka,
    producer: Producer,
    framing: Framing,
}

impl Target {
    async fn open(env: &Env) -> anyhow::Result<Self> {
        let kafka = Kafka::from_env(env)?;
        let framing = kafka.framing(Kind::Calendly).await?;
        let producer = Producer::new(&kafka.config, DELIVERY)?;
        Ok(Self { kafka, producer, framing })
    }

    async fn publish(&self, missed: &Missed) -> anyhow::Result<()> {
        let delivery = schemas::calendly::Delivery::parse(missed.body().as_bytes())?;
        let trace = TraceParent::new(rand::random_range(1..=u128::MAX), rand::random_range(1..=u64::MAX));
        let record = delivery.into_record(Timestamp::now(), trace.to_string(), self.framing)?;
        let EventRecord { key, value, headers } = record;
        let headers = Headers { event: Some(headers), ..Headers::backfilled() };
        deliver(&self.producer, self.kafka.topics.calendly_events(), Some(key.as_bytes()), &value, &headers).await
    }
}

impl Row {
    fn of(missed: &Missed) -> anyhow::Result<Self> {
        let delivery = schemas::calendly::Delivery::parse(missed.body().as_bytes())?;
        let CalendlyEvent { event_id, event_type, occurred_at, invitee, .. } = delivery.into_event(Timestamp::now());
        Ok(Self { occurred_at, event_type, event_id: event_id.to_string(), invitee: invitee.map(|one| one.uri) })
    }
}

impl Report {
    fn new(gap: Gap, dry_run: bool) -> Self {
        let counts = Missed::EVENT_TYPES.map(|event_type| (event_type, 0)).into();
        let events = dry_run.then(Vec::new);
        Self { dry_run, since: gap.since, until: gap.until, meetings: 0, counts, events }
    }

    fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    fn text(&self) -> String {
        let cells = |row: &Row| {
            let invitee = row.invitee.clone().unwrap_or_else(|| "-".to_owned());
            vec![format!("{:.0}", row.occurred_at), row.event_type.clone(), row.event_id.clone(), invitee]
        };
        let each = self.events.iter().map(|events| {
            let cells: Vec<_> = events.iter().map(cells).collect();
            table(&["HAPPENED", "TYPE", "EVENT", "INVITEE"], &cells) + "\n"
        });
        let counts = self.counts.iter().map(|(event_type, count)| vec![(*event_type).to_owned(), count.to_string()]);
        let counts = table(&["TYPE", "EVENTS"], &counts.collect::<Vec<_>>());
        let verb = if self.dry_run { "would be published" } else { "are published" };
        let Self { since, until, meetings, .. } = self;
        let sum =
            format!("{} events of {since:.0} to {until:.0} {verb}; {meetings} meetings were looked at", self.total());
        each.chain([counts, sum]).collect()
    }
}
