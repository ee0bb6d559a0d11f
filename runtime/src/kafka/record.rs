//! A record as our code sees it, free of the client's lifetimes.

use rdkafka::Message;
use rdkafka::message::{BorrowedMessage, Header, Headers, OwnedHeaders};
use schemas::headers::Pair;

/// A record that was consumed.
#[derive(Clone, Debug)]
pub struct Record {
    /// Topic, prefix included.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset within the partition.
    pub offset: i64,
    /// Key, if it has one.
    pub key: Option<Vec<u8>>,
    /// Value; empty for a tombstone.
    pub value: Vec<u8>,
    /// When it was written, in milliseconds since 1970, as far as the broker knows.
    pub timestamp: Option<i64>,
    /// Headers in their order, repeated names included.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Record {
    pub(crate) fn from_message(message: &BorrowedMessage<'_>) -> Self {
        let headers = message.headers().map_or_else(Vec::new, |headers| {
            headers.iter().map(|h| (h.key.to_owned(), h.value.unwrap_or_default().to_vec())).collect()
        });
        Self {
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().unwrap_or_default().to_vec(),
            timestamp: message.timestamp().to_millis(),
            headers,
        }
    }

    /// Bytes that this record holds in memory, roughly.
    pub fn weight(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + value.len() + 48).sum();
        self.value.len() + self.key.as_ref().map_or(0, Vec::len) + headers + 160
    }
}

pub(crate) fn owned_headers(headers: &[Pair<'_>]) -> OwnedHeaders {
    headers.iter().fold(OwnedHeaders::new_with_capacity(headers.len()), |all, (key, value)| {
        all.insert(Header { key, value: Some(&**value) })
    })
}
