//! The events that were accepted, and what the topics tell of each. A million of them fit into 100 MB.

use std::collections::{HashMap, HashSet};

use runtime::kafka::Record;
use schemas::SchemaIds;
use schemas::codec::{self, Event};
use schemas::handled::{self, Expectation};
use schemas::headers::names;
use uuid::Uuid;

/// An event.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Its id for people, when that is another than the fact's.
    name: Option<Box<str>>,
    pub(super) expectation: Expectation,
    /// It is in an event topic and the processor has not committed it.
    pub(super) unread: bool,
    /// It is in a tier or the due topic, and nobody has committed it.
    pub(super) in_retry: bool,
    /// It is in the DLQ.
    pub(super) dead: bool,
}

impl Entry {
    #[cfg(test)]
    pub(super) fn of(expectation: Expectation, unread: bool, in_retry: bool, dead: bool) -> Self {
        Self { name: None, expectation, unread, in_retry, dead }
    }
}

/// By the id of the event's fact.
#[derive(Debug, Default)]
pub(super) struct Accepted {
    entries: HashMap<Uuid, Entry>,
}

impl Accepted {
    /// Takes a record of an event topic. An event that was accepted several times counts once.
    pub(super) fn add(&mut self, record: &Record, ids: &SchemaIds, committed: bool) {
        let decoded = codec::decode_with(&record.value, ids).ok();
        let (id, name) = identify(record, decoded.as_ref());
        // What cannot be read is dead, sooner or later.
        let expectation = decoded.as_ref().map_or(Expectation::Fact, handled::expectation);
        let entry = Entry { name, expectation, unread: false, in_retry: false, dead: false };
        self.entries.entry(id).or_insert(entry).unread |= !committed;
    }

    /// Notes what another topic tells of the record's event, if it is one of these.
    pub(super) fn note(&mut self, record: &Record, ids: &SchemaIds, note: impl FnOnce(&mut Entry)) {
        // The header spares the decoding; what has none was decoded when it was accepted.
        let (id, _) = match header(record, names::EVENT_ID) {
            Some(_) => identify(record, None),
            None => identify(record, codec::decode_with(&record.value, ids).ok().as_ref()),
        };
        if let Some(entry) = self.entries.get_mut(&id) {
            note(entry);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Uuid, &Entry)> {
        self.entries.iter().map(|(id, entry)| (*id, entry))
    }

    /// Those that may be in the history.
    pub(super) fn to_look_up(&self) -> Vec<Uuid> {
        self.iter().filter(|(_, entry)| entry.expectation != Expectation::Nothing).map(|(id, _)| id).collect()
    }

    /// Those in a tier, due or dead whose fact is recorded all the same.
    pub(super) fn failed_among(&self, recorded: &HashSet<Uuid>) -> Vec<Uuid> {
        let failed = self.iter().filter(|(_, entry)| entry.dead || entry.in_retry);
        failed.map(|(id, _)| id).filter(|id| recorded.contains(id)).collect()
    }

    /// The event's id as its sender, or its header, has it.
    pub(super) fn name(id: Uuid, entry: &Entry) -> String {
        entry.name.as_deref().map_or_else(|| id.to_string(), str::to_owned)
    }
}

/// The id of the record's fact, and the event's own id if it is another one.
fn identify(record: &Record, decoded: Option<&Event>) -> (Uuid, Option<Box<str>>) {
    let own = match decoded {
        Some(Event::Calendly(event)) => return (event.event_id, None),
        Some(Event::Stripe(event)) => {
            return (handled::stripe_fact_id(&event.event_id), Some(event.event_id.as_str().into()));
        }
        None => header(record, names::EVENT_ID).map_or_else(|| place(record), str::to_owned),
    };
    let id = handled::fact_id(&own);
    (id, (id.to_string() != own).then(|| own.into_boxed_str()))
}

/// Where a record without any id was read first: its own place, unless it has been moved since.
fn place(record: &Record) -> String {
    let own = || format!("{}/{}/{}", record.topic, record.partition, record.offset);
    let moved = || {
        let topic = header(record, names::ORIGIN_TOPIC)?;
        Some(format!("{topic}/{}/{}", header(record, names::ORIGIN_PARTITION)?, header(record, names::ORIGIN_OFFSET)?))
    };
    moved().unwrap_or_else(own)
}

fn header<'a>(record: &'a Record, wanted: &str) -> Option<&'a str> {
    let (_, value) = record.headers.iter().rev().find(|(name, _)| name == wanted)?;
    str::from_utf8(value).ok().filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(topic: &str, offset: i64, headers: &[(&str, &str)]) -> Record {
        Record {
            topic: topic.to_owned(),
            partition: 1,
            offset,
            key: None,
            value: b"no event".to_vec(),
            timestamp: None,
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect(),
        }
    }

    #[test]
    fn an_unreadable_record_is_found_by_its_origin() {
        let (mut accepted, ids) = (Accepted::default(), SchemaIds::default());
        accepted.add(&record("calendly.events", 7, &[]), &ids, true);
        let origin = [("origin-topic", "calendly.events"), ("origin-partition", "1"), ("origin-offset", "7")];
        accepted.note(&record("calendly.events.dlq", 0, &origin), &ids, |entry| entry.dead = true);
        let (id, entry) = accepted.iter().next().unwrap();
        assert!(entry.dead);
        assert_eq!(Accepted::name(id, entry), "calendly.events/1/7");
    }

    #[test]
    fn an_unreadable_record_with_an_id_is_found_by_that() {
        let (mut accepted, ids) = (Accepted::default(), SchemaIds::default());
        for id in ["evt_1", "fa7542ad-cf2f-574f-abd4-26bfb255b661"] {
            accepted.add(&record("stripe.events", 1, &[("event-id", id)]), &ids, true);
            accepted.add(&record("stripe.events", 2, &[("event-id", id)]), &ids, false);
            accepted.note(&record("calendly.events.due", 9, &[("event-id", id)]), &ids, |entry| entry.in_retry = true);
        }
        let mut names: Vec<_> = accepted.iter().map(|(id, entry)| Accepted::name(id, entry)).collect();
        names.sort();
        assert_eq!(names, ["evt_1", "fa7542ad-cf2f-574f-abd4-26bfb255b661"], "each once");
        assert!(accepted.iter().all(|(_, entry)| entry.in_retry && entry.unread && !entry.dead));
    }
}
