//! `calctl dlq replay`.
//!
//! Nothing but the topics remembers what was done. Each letter that is handed back is marked with the place of the
//! letter ([`schemas::replay`]), so a replay that was killed anywhere is continued by running it again: it looks for
//! the marks first. At worst a letter whose delivery report was under way is found in the topic, and skipped.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use anyhow::{Context, bail};
use jiff::Timestamp;
use runtime::env::Env;
use runtime::kafka::read::{Span, Start};
use runtime::kafka::{Producer, Record};
use schemas::headers::Headers;
use schemas::replay::{LetterId, Replay as Marks};
use serde::Serialize;
use tokio::time::MissedTickBehavior;

use super::args::Replay;
use super::letter::{self, Letter};
use super::plan::{Rules, Step, step};
use super::{Found, earlier, find, reingest};
use crate::kafka::{Kafka, deliver};
use crate::output::{Printer, table};
use crate::progress::Progress;

const DELIVERY: Duration = Duration::from_secs(15);

/// A letter and what becomes of it.
struct Planned {
    letter: Letter,
    step: Step,
    done: bool,
}

#[derive(Serialize)]
struct Row {
    event_id: String,
    event_type: Option<String>,
    error_class: Option<&'static str>,
    failed_at: Timestamp,
    partition: i32,
    offset: i64,
    /// `replay`, `reingest` or `skip`.
    action: &'static str,
    /// The topic that it goes to.
    topic: Option<String>,
    /// Whether it has gone there.
    done: bool,
    /// Why it is skipped.
    reason: Option<String>,
}

pub(crate) async fn replay(env: &Env, kafka: &Kafka, printer: &Printer, options: &Replay) -> anyhow::Result<()> {
    let by = options.by.clone().map_or_else(|| operator(env), Ok)?;
    let found = find(kafka, &options.filter).await?;
    found.all_are_known(&options.filter)?;
    let mut planned = plan(kafka, found, options).await?;
    let sent = if options.dry_run { Ok(()) } else { send_all(kafka, &mut planned, options, &by).await };
    let rows: Vec<Row> = planned.iter().map(|planned| row(planned, kafka)).collect();
    printer.print(&rows, |rows| text(rows, options.dry_run))?;
    sent
}

async fn plan(kafka: &Kafka, found: Found, options: &Replay) -> anyhow::Result<Vec<Planned>> {
    let replayed = replayed(kafka, &found.letters).await?;
    let rules = Rules { again: options.again, max_replays: options.max_replays.get() };
    let mut left = options.filter.limit.map_or(usize::MAX, std::num::NonZeroUsize::get);
    let mut planned = Vec::with_capacity(found.letters.len());
    for letter in found.letters {
        if left == 0 {
            break;
        }
        let step = step(&letter, &found.last, &replayed, rules);
        left -= usize::from(!matches!(step, Step::Skip(_)));
        planned.push(Planned { letter, step, done: false });
    }
    Ok(planned)
}

/// The letters that were handed back since they died, as the topics tell to which they would go.
async fn replayed(kafka: &Kafka, letters: &[Letter]) -> anyhow::Result<HashSet<LetterId>> {
    let mut since: BTreeMap<&str, Timestamp> = BTreeMap::new();
    for letter in letters.iter().filter(|letter| matches!(letter.value, letter::Value::Event | letter::Value::Body)) {
        let written = Timestamp::from_millisecond(letter.id.written).unwrap_or(Timestamp::UNIX_EPOCH);
        let first = since.entry(target(letter, kafka)).or_insert(written);
        *first = written.min(*first);
    }
    let mut replayed = HashSet::new();
    for (topic, written) in since {
        let spans = kafka.reader.spans(&[topic], Start::Time(earlier(written)), None).await?;
        let mut progress = Progress::new("looking for earlier replays", spans.iter().map(Span::len).sum());
        let mut records = kafka.reader.records(spans)?;
        while let Some(record) = records.next().await? {
            progress.step();
            replayed.extend(Marks::of(&letter::headers(&record)).map(|marks| marks.from));
        }
    }
    Ok(replayed)
}

/// Where a letter goes, if anywhere.
fn target<'a>(letter: &'a Letter, kafka: &'a Kafka) -> &'a str {
    match (&letter.value, &letter.retry) {
        (letter::Value::Body, Some(retry)) => &retry.origin_topic,
        _ => kafka.topics.due(),
    }
}

/// Reads the letters once more, for their values, and sends them. An interruption leaves the rest for the next time.
async fn send_all(kafka: &Kafka, planned: &mut [Planned], options: &Replay, by: &str) -> anyhow::Result<()> {
    let mut places: HashMap<LetterId, usize> = HashMap::new();
    for (index, planned) in planned.iter().enumerate() {
        if !matches!(planned.step, Step::Skip(_)) {
            places.insert(planned.letter.id, index);
        }
    }
    if places.is_empty() {
        return Ok(());
    }
    let producer = Producer::new(&kafka.config, DELIVERY)?;
    let mut records = kafka.reader.records(spans(kafka.topics.dlq(), places.keys()))?;
    let mut progress = Progress::new("replaying", u64::try_from(places.len())?);
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / options.rate.get());
    // A send that took long is no reason to hurry afterwards.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stop = std::pin::pin!(tokio::signal::ctrl_c());
    while let Some(record) = records.next().await? {
        let Some(index) = places.remove(&letter::id(&record)) else { continue };
        let Some(planned) = planned.get_mut(index) else { continue };
        tokio::select! {
            biased;
            _ = &mut stop => bail!("interrupted; run it again to go on where it stopped"),
            _ = ticks.tick() => {}
        }
        let sent = send(kafka, &producer, planned, &record, by).await;
        sent.with_context(|| format!("event {} was not replayed; run it again to go on", planned.letter.event_id))?;
        planned.done = true;
        progress.step();
    }
    match places.len() {
        0 => Ok(()),
        gone => bail!("{gone} dead letters were no longer in the DLQ when their turn came"),
    }
}

/// The parts of the DLQ that hold these letters.
fn spans<'a>(dlq: &str, letters: impl Iterator<Item = &'a LetterId>) -> Vec<Span> {
    let mut ranges: BTreeMap<i32, (i64, i64)> = BTreeMap::new();
    for letter in letters {
        let range = ranges.entry(letter.partition).or_insert((letter.offset, letter.offset + 1));
        *range = (range.0.min(letter.offset), range.1.max(letter.offset + 1));
    }
    let span = |(partition, (from, to))| Span { topic: dlq.to_owned(), partition, from, to };
    ranges.into_iter().map(span).collect()
}

async fn send(kafka: &Kafka, producer: &Producer, planned: &Planned, record: &Record, by: &str) -> anyhow::Result<()> {
    let before = letter::headers(record);
    let count = planned.letter.replay.as_ref().map_or(0, |replay| replay.count).saturating_add(1);
    let marks = Marks { by: by.to_owned(), at: Timestamp::now(), from: planned.letter.id, count };
    let topic = target(&planned.letter, kafka);
    if planned.step != Step::Reingest {
        return deliver(producer, topic, record.key.as_deref(), &record.value, &marks.mark(before)).await;
    }
    let (received_at, traceparent) = match &before.event {
        Some(event) => (event.received_at, event.traceparent.clone()),
        None => (planned.letter.received_at.unwrap_or(marks.at), String::new()),
    };
    let parsed = reingest::parse(&record.value, topic, &kafka.topics)?;
    let framing = kafka.framing(parsed.kind()).await?;
    let ready = parsed.record(received_at, traceparent, framing)?;
    // A new event has not failed yet.
    let headers = marks.mark(Headers { event: Some(ready.headers), retry: None, other: before.other });
    deliver(producer, topic, Some(ready.key.as_bytes()), &ready.value, &headers).await
}

/// `user@host`, as far as the machine tells.
fn operator(env: &Env) -> anyhow::Result<String> {
    let user = env.optional("USER")?.or(env.optional("LOGNAME")?).unwrap_or_else(|| "unknown".to_owned());
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() { "unknown" } else { host.trim() };
    Ok(format!("{user}@{host}"))
}

fn row(planned: &Planned, kafka: &Kafka) -> Row {
    let Planned { letter, step, done } = planned;
    let (action, reason) = match step {
        Step::Replay => ("replay", None),
        Step::Reingest => ("reingest", None),
        Step::Skip(reason) => ("skip", Some(reason.clone())),
    };
    Row {
        event_id: letter.event_id.clone(),
        event_type: letter.event_type.clone(),
        error_class: letter.error_class().map(schemas::ErrorClass::as_str),
        failed_at: letter.died_at(),
        partition: letter.id.partition,
        offset: letter.id.offset,
        action,
        topic: reason.is_none().then(|| target(letter, kafka).to_owned()),
        done: *done,
        reason,
    }
}

fn text(rows: &[Row], dry_run: bool) -> String {
    let cells = |row: &Row| {
        let detail = match (&row.reason, &row.topic) {
            (Some(reason), _) => reason.clone(),
            (None, Some(topic)) if row.done || dry_run => format!("to {topic}"),
            (None, _) => "not done".to_owned(),
        };
        let dash = || "-".to_owned();
        vec![
            format!("{:.0}", row.failed_at),
            row.event_id.clone(),
            row.event_type.clone().unwrap_or_else(dash),
            row.error_class.map_or_else(dash, str::to_owned),
            row.action.to_owned(),
            detail,
        ]
    };
    let cells: Vec<_> = rows.iter().map(cells).collect();
    let skipped = rows.iter().filter(|row| row.reason.is_some()).count();
    let (verb, count) = if dry_run {
        ("would be replayed", rows.len() - skipped)
    } else {
        ("replayed", rows.iter().filter(|row| row.done).count())
    };
    let head = ["DIED", "EVENT", "TYPE", "CLASS", "ACTION", "DETAIL"];
    format!("{}{count} {verb}, {skipped} skipped", table(&head, &cells))
}
