//! `calctl dlq`: looks at dead letters and hands them back. Reads the DLQ and never changes it.

mod args;
mod letter;
mod plan;
mod reingest;
mod replay;
mod show;

use anyhow::bail;
use jiff::{SignedDuration, Timestamp};
use runtime::env::Env;
use runtime::kafka::read::Start;

pub(crate) use self::args::DlqCommand;
use self::args::Filter;
use self::letter::{Letter, Row};
use self::plan::LastDeaths;
use crate::kafka::Kafka;
use crate::output::{Printer, table};
use crate::progress::Progress;

/// How far the clocks of those who write into topics may be apart.
const CLOCKS: SignedDuration = SignedDuration::from_mins(10);

pub(crate) async fn run(env: &Env, printer: &Printer, command: DlqCommand) -> anyhow::Result<()> {
    let kafka = Kafka::from_env(env)?;
    match command {
        DlqCommand::List(filter) => list(&kafka, printer, &filter).await,
        DlqCommand::Show { event_id } => show::show(&kafka, printer, &event_id).await,
        DlqCommand::Replay(options) => replay::replay(env, &kafka, printer, &options).await,
    }
}

/// The dead letters that a filter takes, oldest first, and what is known of all others.
struct Found {
    letters: Vec<Letter>,
    last: LastDeaths,
}

impl Found {
    /// Fails when an event that the filter names has no dead letter at all.
    fn all_are_known(&self, filter: &Filter) -> anyhow::Result<()> {
        let unknown: Vec<&str> =
            filter.event_ids.iter().map(String::as_str).filter(|id| !self.last.knows(id)).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        bail!("no dead letter has the event id {}; `calctl dlq list` shows them all", unknown.join(", "))
    }
}

async fn find(kafka: &Kafka, filter: &Filter) -> anyhow::Result<Found> {
    // What died since then was written since then.
    let from = filter.since.map_or(Start::Beginning, |since| Start::Time(earlier(since.0)));
    let spans = kafka.reader.spans(&[kafka.topics.dlq()], from, None).await?;
    let mut progress = Progress::new("reading dead letters", spans.iter().map(runtime::kafka::read::Span::len).sum());
    let mut records = kafka.reader.records(spans)?;
    let mut found = Found { letters: Vec::new(), last: LastDeaths::default() };
    while let Some(record) = records.next().await? {
        progress.step();
        // Without the registry they can still be told by their headers.
        let ids = kafka.schemas.of(&record.value).await.unwrap_or_else(|_| kafka.schemas.known());
        let letter = Letter::read(&record, &kafka.topics, &ids);
        found.last.note(&letter);
        if filter.takes(&letter) {
            found.letters.push(letter);
        }
    }
    found.letters.sort_by_key(Letter::order);
    Ok(found)
}

fn earlier(time: Timestamp) -> Timestamp {
    time.checked_sub(CLOCKS).unwrap_or(Timestamp::MIN)
}

async fn list(kafka: &Kafka, printer: &Printer, filter: &Filter) -> anyhow::Result<()> {
    let found = find(kafka, filter).await?;
    found.all_are_known(filter)?;
    let limit = filter.limit.map_or(usize::MAX, std::num::NonZeroUsize::get);
    let rows: Vec<Row> = found.letters.iter().take(limit).map(Row::from).collect();
    printer.print(&rows, |rows| {
        let cells: Vec<_> = rows.iter().map(cells).collect();
        table(&["DIED", "EVENT", "TYPE", "CLASS", "RETRIES", "ORIGIN", "ERROR"], &cells)
    })
}

fn cells(row: &Row) -> Vec<String> {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    // Of a body that never was in a topic, the place is no place.
    let place = match (row.origin_partition, row.origin_offset) {
        (Some(partition), Some(offset)) if partition >= 0 => format!(" {partition}/{offset}"),
        _ => String::new(),
    };
    vec![
        format!("{:.0}", row.failed_at),
        row.event_id.clone(),
        or_dash(row.event_type.clone()),
        or_dash(row.error_class.map(str::to_owned)),
        or_dash(row.retry_attempt.map(|attempt| attempt.to_string())),
        or_dash(row.origin_topic.clone().map(|topic| topic + &place)),
        or_dash(row.error.clone()),
    ]
}
