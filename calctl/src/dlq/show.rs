//! `calctl dlq show`: all that there is about an event's dead letters. Its output is for an operator's own eyes.

use std::sync::Arc;

use anyhow::bail;
use jiff::Timestamp;
use runtime::kafka::Record;
use runtime::kafka::read::Start;
use schemas::codec::{self, Event};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::letter::{Letter, Row};
use crate::kafka::Kafka;
use crate::output::Printer;

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    row: Row,
    topic: String,
    key: Option<String>,
    headers: Map<String, Value>,
    /// The decoded event; its payload is the delivery.
    event: Option<Value>,
    /// Why there is none.
    unreadable: Option<String>,
    /// The value as text, when it is no event.
    body: Option<String>,
}

pub(crate) async fn show(kafka: &Kafka, printer: &Printer, event_id: &str) -> anyhow::Result<()> {
    let spans = kafka.reader.spans(&[kafka.topics.dlq()], Start::Beginning, None).await?;
    let mut records = kafka.reader.records(spans)?;
    let mut found = Vec::new();
    while let Some(record) = records.next().await? {
        let schemas = kafka.schemas.of(&record.value).await;
        let ids = schemas.as_ref().map_or_else(|_| kafka.schemas.known(), Arc::clone);
        let letter = Letter::read(&record, &kafka.topics, &ids);
        if letter.event_id == event_id {
            let event =
                schemas.map_err(anyhow::Error::from).and_then(|ids| Ok(codec::decode_with(&record.value, &ids)?));
            found.push((letter.order(), shown(&letter, &record, event)?));
        }
    }
    if found.is_empty() {
        bail!("no dead letter has the event id {event_id}; `calctl dlq list` shows them all");
    }
    found.sort_by_key(|(order, _)| *order);
    let found: Vec<Shown> = found.into_iter().map(|(_, shown)| shown).collect();
    printer.print(&found, |all| all.iter().map(text).collect::<Vec<_>>().join("\n"))
}

fn shown(letter: &Letter, record: &Record, event: anyhow::Result<Event>) -> anyhow::Result<Shown> {
    let (event, unreadable) = match event {
        Ok(event) => (Some(readable(&event)?), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let headers = record.headers.iter().map(|(name, value)| (name.clone(), json!(String::from_utf8_lossy(value))));
    Ok(Shown {
        row: Row::from(letter),
        topic: record.topic.clone(),
        key: record.key.as_deref().map(|key| String::from_utf8_lossy(key).into_owned()),
        headers: headers.collect(),
        body: event.is_none().then(|| String::from_utf8_lossy(&record.value).into_owned()),
        event,
        unreadable,
    })
}

/// The event as JSON for people: times as times, and the delivery as the JSON that it is.
fn readable(event: &Event) -> serde_json::Result<Value> {
    let mut value = match event {
        Event::Calendly(event) => serde_json::to_value(event)?,
        Event::Stripe(event) => serde_json::to_value(event)?,
    };
    let payload = value.get("payload").and_then(Value::as_str).and_then(|text| serde_json::from_str(text).ok());
    times(&mut value);
    if let (Some(payload), Some(place)) = (payload, value.get_mut("payload")) {
        *place = payload;
    }
    Ok(value)
}

/// Avro's microseconds become RFC 3339.
fn times(value: &mut Value) {
    let Value::Object(fields) = value else { return };
    for (name, field) in fields {
        let micros = if name.ends_with("_at") || name.ends_with("_time") { field.as_i64() } else { None };
        match micros.and_then(|micros| Timestamp::from_microsecond(micros).ok()) {
            Some(time) => *field = json!(time),
            None => times(field),
        }
    }
}

fn text(shown: &Shown) -> String {
    let mut lines = vec![format!("{} partition {} offset {}", shown.topic, shown.row.partition, shown.row.offset)];
    let key = shown.key.iter().map(|key| ("(key)", key.as_str()));
    let headers = shown.headers.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default()));
    let pairs: Vec<(&str, &str)> = headers.chain(key).collect();
    let width = pairs.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    lines.extend(pairs.iter().map(|(name, value)| format!("  {name:<width$}  {}", value.replace('\n', " "))));
    lines.extend(shown.event.as_ref().map(|event| format!("{event:#}")));
    lines.extend(shown.body.clone());
    // It comes from a public form: what a terminal would obey is not printed.
    lines.join("\n").replace(|c: char| c.is_control() && c != '\n', "\u{FFFD}") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_for_people_and_the_delivery_is_json() {
        let body = br#"{"event":"invitee.created","created_at":"2026-01-02T03:04:05.000000Z",
            "payload":{"uri":"https://x/1","name":"\u009b31mEve"}}"#;
        let delivery = schemas::calendly::Delivery::parse(body).unwrap();
        let event = Event::Calendly(Box::new(delivery.into_event(Timestamp::UNIX_EPOCH)));
        let value = readable(&event).unwrap();
        assert_eq!(value["occurred_at"], "2026-01-02T03:04:05Z");
        assert_eq!(value["received_at"], "1970-01-01T00:00:00Z");
        assert_eq!(value["payload"]["payload"]["uri"], "https://x/1");
    }
}
