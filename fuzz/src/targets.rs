//! What is fuzzed, as plain functions: `cargo fuzz` calls them, and so does `tests/tests/fuzz_smoke.rs` on stable.
//! Each fails by a panic.

#![allow(dead_code, unreachable_pub, reason = "each target is a program that uses one of them")]

use std::sync::OnceLock;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};
use bytes::Bytes;
use ingest::config::LateDeliveries;
use ingest::signature::{Calendly, Scheme as _, Verifier};
use ingest::spool;
use jiff::Timestamp;
use schemas::codec::{self, Framing};
use schemas::headers::Headers;

/// A signature header, a zero byte, a body. Nobody who does not know the key gets in.
pub fn signature(data: &[u8]) {
    let split = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let (header, body) = (&data[..split], data.get(split + 1..).unwrap_or_default());
    let Ok(value) = HeaderValue::from_bytes(header) else { return };
    let key = "a key that no fuzzer guesses".to_owned().into();
    let verifier = Verifier::<Calendly>::new(&[key], Duration::from_mins(3), LateDeliveries::Accept);
    let headers = HeaderMap::from_iter([(axum::http::HeaderName::from_static(Calendly::HEADER), value)]);
    let result = verifier.verify(&headers, Bytes::copy_from_slice(body), Timestamp::UNIX_EPOCH);
    assert!(result.is_err(), "forged");
}

/// A body, as Calendly's and as Stripe's. What is an event can be published, and read again as it was.
pub fn delivery(data: &[u8]) {
    if let Ok(delivery) = schemas::calendly::Delivery::parse(data) {
        assert!(!delivery.partition_key().is_empty());
        let event = delivery.into_event(Timestamp::UNIX_EPOCH);
        assert_eq!(event.payload.as_bytes(), data);
        let encoded = codec::encode_calendly(&event).expect("an event can be encoded");
        // Times of an event may be beyond what can be read back only if they could not be parsed; so they are equal.
        assert_eq!(codec::decode_calendly(&encoded).expect("what was encoded can be decoded"), event);
        let again = schemas::calendly::Delivery::parse(data).expect("it is what it was");
        let record = again.into_record(Timestamp::UNIX_EPOCH, String::new(), Framing::SingleObject);
        assert_eq!(record.expect("an event can be published").value, encoded);
    }
    if let Ok(delivery) = schemas::stripe::Delivery::parse(data) {
        let _ = delivery.partition_key();
        let event = delivery.into_event(Timestamp::UNIX_EPOCH);
        let encoded = codec::encode_stripe(&event).expect("an event can be encoded");
        assert_eq!(codec::decode_stripe(&encoded).expect("what was encoded can be decoded"), event);
    }
}

/// A record's value.
pub fn avro(data: &[u8]) {
    let _ = codec::confluent_id(data);
    match codec::decode(data) {
        Ok(codec::Event::Calendly(event)) => drop(codec::encode_calendly(&event).expect("an event can be encoded")),
        Ok(codec::Event::Stripe(event)) => drop(codec::encode_stripe(&event).expect("an event can be encoded")),
        Err(error) => assert!(error.to_string().len() < 300, "an error quotes nothing"),
    }
}

/// Names and values of headers, each closed by a zero byte. What is written after reading is stable and bounded.
pub fn headers(data: &[u8]) {
    let parts: Vec<&[u8]> = data.split(|byte| *byte == 0).collect();
    let pairs = parts.chunks(2).filter_map(|pair| Some((str::from_utf8(pair[0]).ok()?, *pair.get(1)?)));
    let read = Headers::parse(pairs);
    let written = read.to_pairs();
    let size: usize = written.iter().map(|(name, value)| name.len() + value.len()).sum();
    assert!(size < 32 * 1024, "{size}");
    let again = Headers::parse(written.iter().map(|(name, value)| (*name, &**value)));
    assert_eq!(again.to_pairs(), written);
}

/// Three bytes of place and one of content each, written over a sound spool; or, after a leading 255, an entry.
///
/// A file is refused, or has all that was in it. One bit is the exception that every file has somewhere: the one that
/// says which commit is the last. Turned, it gives the spool as of the commit before.
pub fn spool(data: &[u8]) {
    static SOUND: OnceLock<Vec<u8>> = OnceLock::new();
    if let Some(entry) = data.strip_prefix(&[255]) {
        let _ = spool::Entry::decode(entry);
        return;
    }
    let mut file = SOUND.get_or_init(spool::sample).clone();
    for patch in data.chunks_exact(4) {
        let place = usize::from(patch[0]) << 16 | usize::from(patch[1]) << 8 | usize::from(patch[2]);
        // The beginning decides about everything else, so it is hit more often.
        let reach = if patch[0] < 128 { 1024.min(file.len()) } else { file.len() };
        let at = place % reach;
        file[at] = patch[3];
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(dir.path().join("spool.redb"), &file).expect("a temporary file");
    if let Ok(found) = spool::inspect(dir.path()) {
        assert!(found + 1 >= spool::SAMPLE_ENTRIES, "{found} entries: the others are lost without a word");
    }
}
