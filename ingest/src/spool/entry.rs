//! A record as it lies in the spool: everything that Kafka is to get, and when it came.

use std::borrow::Cow;

use jiff::Timestamp;
use runtime::kafka::OutgoingRecord;
use schemas::headers::Pair;

/// The first byte of every entry of this layout.
const LAYOUT: u8 = 1;

/// A record that waits for Kafka. It borrows what it is made of: most never see the spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Topic, prefix included.
    pub topic: &'a str,
    /// Key.
    pub key: &'a [u8],
    /// Value.
    pub value: Cow<'a, [u8]>,
    /// Headers.
    pub headers: Vec<Pair<'a>>,
}

impl<'a> Entry<'a> {
    /// The record for the producer.
    pub fn outgoing(&self) -> OutgoingRecord<'_> {
        OutgoingRecord { topic: self.topic, key: Some(self.key), value: &self.value, headers: &self.headers }
    }

    /// A header's value as text, for log lines.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.iter().find(|(header, _)| *header == name);
        value.and_then(|(_, value)| str::from_utf8(value).ok()).unwrap_or_default()
    }

    /// The bytes to keep.
    pub(crate) fn encode(&self, spooled_at: Timestamp) -> Vec<u8> {
        let headers: usize = self.headers.iter().map(|(name, value)| 16 + name.len() + value.len()).sum();
        let mut bytes = Vec::with_capacity(64 + self.topic.len() + self.key.len() + self.value.len() + headers);
        bytes.push(LAYOUT);
        bytes.extend(spooled_at.as_millisecond().to_le_bytes());
        put(&mut bytes, self.topic.as_bytes());
        put(&mut bytes, self.key);
        put(&mut bytes, &self.value);
        for (name, value) in &self.headers {
            put(&mut bytes, name.as_bytes());
            put(&mut bytes, value);
        }
        bytes
    }

    /// Reads what `Entry::encode` wrote; `None` for anything else.
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(&[LAYOUT])?.get(8..)?;
        let (topic, key, value) = (text(&mut rest)?, take(&mut rest)?, take(&mut rest)?.into());
        let mut headers = Vec::new();
        while !rest.is_empty() {
            headers.push((text(&mut rest)?, take(&mut rest)?.into()));
        }
        Some(Self { topic, key, value, headers })
    }
}

/// The topic of an entry, without reading the rest.
pub(crate) fn topic(bytes: &[u8]) -> Option<&str> {
    let mut rest = bytes.strip_prefix(&[LAYOUT])?.get(8..)?;
    text(&mut rest)
}

/// When an entry was spooled.
pub(crate) fn spooled_at(bytes: &[u8]) -> Option<Timestamp> {
    let (millis, _) = bytes.strip_prefix(&[LAYOUT])?.split_first_chunk()?;
    Timestamp::from_millisecond(i64::from_le_bytes(*millis)).ok()
}

fn put(bytes: &mut Vec<u8>, field: &[u8]) {
    bytes.extend((field.len() as u64).to_le_bytes());
    bytes.extend(field);
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let (field, after) = after.split_at_checked(length)?;
    *rest = after;
    Some(field)
}

fn text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    str::from_utf8(take(rest)?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Fields = (String, Vec<u8>, Vec<u8>, Vec<(String, Vec<u8>)>);

    /// What an entry borrows.
    fn fields() -> impl Strategy<Value = Fields> {
        let bytes = || proptest::collection::vec(any::<u8>(), 0..40);
        let headers = proptest::collection::vec((".{0,9}", bytes()), 0..5);
        (".{0,9}", bytes(), bytes(), headers)
    }

    fn entry((topic, key, value, headers): &Fields) -> Entry<'_> {
        let headers = headers.iter().map(|(name, value)| (name.as_str(), value.into())).collect();
        Entry { topic, key, value: value.into(), headers }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(fields in fields(), millis in 0..4_000_000_000_000_i64) {
            let entry = entry(&fields);
            let at = Timestamp::from_millisecond(millis).unwrap();
            let bytes = entry.encode(at);
            prop_assert_eq!(spooled_at(&bytes), Some(at));
            prop_assert_eq!(topic(&bytes), Some(entry.topic));
            prop_assert_eq!(Entry::decode(&bytes), Some(entry));
        }

        #[test]
        fn a_part_of_an_entry_is_never_the_entry(fields in fields(), cut in any::<prop::sample::Index>()) {
            let entry = entry(&fields);
            let bytes = entry.encode(Timestamp::UNIX_EPOCH);
            let part = &bytes[..cut.index(bytes.len())];
            prop_assert_ne!(Entry::decode(part), Some(entry));
        }

        #[test]
        fn nothing_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = (Entry::decode(&bytes), spooled_at(&bytes), topic(&bytes));
        }
    }
}
