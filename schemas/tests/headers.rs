//! Record headers: what is written is read back, and nothing that others write can hurt.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail loudly")]

use std::borrow::Cow;

use jiff::Timestamp;
use proptest::prelude::*;
use schemas::{
    ErrorClass, EventHeaders, Headers, RetryHeaders, TraceParent, ascii,
    headers::{MAX_OTHER, MAX_OTHER_BYTES, Pair, names},
};

fn read(pairs: &[Pair<'_>]) -> Headers {
    Headers::parse(pairs.iter().map(|(name, value)| (*name, &**value)))
}

fn times() -> impl Strategy<Value = Timestamp> {
    let micros = Timestamp::MIN.as_microsecond()..=Timestamp::MAX.as_microsecond();
    micros.prop_map(|micros| Timestamp::from_microsecond(micros).unwrap())
}

fn texts() -> impl Strategy<Value = String> {
    "[ -~]{0,200}"
}

fn events() -> impl Strategy<Value = EventHeaders> {
    let trace = prop_oneof![
        Just(String::new()),
        any::<(u128, u64)>().prop_map(|(trace, span)| TraceParent::new(trace, span).to_string()),
    ];
    (texts(), texts(), times(), trace).prop_map(|(event_id, event_type, received_at, traceparent)| EventHeaders {
        event_id,
        event_type,
        received_at,
        traceparent,
    })
}

fn retries() -> impl Strategy<Value = RetryHeaders> {
    let class = prop::sample::select(&ErrorClass::ALL[..]);
    let origin = (texts(), any::<i32>(), any::<i64>());
    (any::<u32>(), times(), times(), times(), class, texts(), origin).prop_map(
        |(attempt, due_at, first_failed_at, failed_at, error_class, error, origin)| RetryHeaders {
            attempt,
            due_at,
            first_failed_at,
            failed_at,
            error_class,
            error,
            origin_topic: origin.0,
            origin_partition: origin.1,
            origin_offset: origin.2,
        },
    )
}

fn foreign() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    prop::collection::btree_map("x-[a-z]{1,12}", prop::collection::vec(any::<u8>(), 0..40), 0..10)
        .prop_map(|map| map.into_iter().collect())
}

fn headers() -> impl Strategy<Value = Headers> {
    (prop::option::of(events()), prop::option::of(retries()), foreign()).prop_map(|(event, retry, other)| Headers {
        event,
        retry,
        other,
    })
}

/// Names of ours and of others, with values that are right now and then.
fn soup() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    let name = prop_oneof![prop::sample::select(&names::ALL[..]).prop_map(str::to_owned), any::<String>()];
    let value = prop_oneof![
        any::<Vec<u8>>(),
        texts().prop_map(String::into_bytes),
        any::<i64>().prop_map(|n| n.to_string().into_bytes()),
        times().prop_map(|at| at.to_string().into_bytes()),
    ];
    prop::collection::vec((name, value), 0..60)
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(headers in headers()) {
        prop_assert_eq!(read(&headers.to_pairs()), headers);
    }

    #[test]
    fn each_name_is_written_once_and_ours_are_ascii(mut headers in headers(), error: String, id: String) {
        if let (Some(event), Some(retry)) = (&mut headers.event, &mut headers.retry) {
            event.event_id = id;
            retry.error = error.repeat(500);
        }
        headers.other.push((names::EVENT_ID.to_owned(), b"forged".to_vec()));
        headers.other.extend(headers.other.clone());
        let pairs = headers.to_pairs();
        for (index, (name, value)) in pairs.iter().enumerate() {
            prop_assert!(pairs[..index].iter().all(|(earlier, _)| earlier != name), "{} repeats", name);
            if names::ALL.contains(name) {
                prop_assert!(value.iter().all(|b| (b' '..=b'~').contains(b)), "{} is not ASCII", name);
                prop_assert!(value.len() <= 1024);
                prop_assert_ne!(&**value, b"forged");
            }
        }
    }

    #[test]
    fn hops_do_not_accumulate(pairs in soup()) {
        let headers = Headers::parse(pairs.iter().map(|(name, value)| (name.as_str(), value.as_slice())));
        let other: usize = headers.other.iter().map(|(name, value)| name.len() + value.len()).sum();
        prop_assert!(headers.other.len() <= MAX_OTHER && other <= MAX_OTHER_BYTES);
        let hop = read(&headers.to_pairs());
        prop_assert_eq!(hop.to_pairs(), headers.to_pairs());
    }

    #[test]
    fn ascii_is_ascii(text: String, max in 0usize..40) {
        let cut = ascii(&text, max);
        prop_assert!(cut.len() <= max && cut.bytes().all(|b| (b' '..=b'~').contains(&b)));
        let printable = |c: char| if (' '..='~').contains(&c) { c } else { '?' };
        prop_assert_eq!(cut, text.chars().map(printable).take(max).collect::<String>());
    }
}

fn pair<'a>(name: &'a str, value: &'a str) -> Pair<'a> {
    (name, value.as_bytes().into())
}

fn event_block() -> Vec<Pair<'static>> {
    vec![
        pair(names::EVENT_ID, "0b5c"),
        pair(names::EVENT_TYPE, "invitee.created"),
        pair(names::RECEIVED_AT, "2026-01-02T03:04:05.678901Z"),
        pair(names::TRACEPARENT, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ]
}

fn retry_block() -> Vec<Pair<'static>> {
    vec![
        pair(names::RETRY_ATTEMPT, "2"),
        pair(names::RETRY_DUE_AT, "2026-01-02T03:09:05.000000Z"),
        pair(names::FIRST_FAILED_AT, "2026-01-02T03:03:05.000000Z"),
        pair(names::FAILED_AT, "2026-01-02T03:04:05.000000Z"),
        pair(names::ERROR_CLASS, "rate_limited"),
        pair(names::ERROR, "stripe: 429"),
        pair(names::ORIGIN_TOPIC, "calendly.events"),
        pair(names::ORIGIN_PARTITION, "7"),
        pair(names::ORIGIN_OFFSET, "1234567890123"),
    ]
}

#[test]
fn writes_what_the_contract_says() {
    let blocks = [event_block(), retry_block()].concat();
    let headers = read(&blocks);
    assert!(headers.event.is_some() && headers.retry.is_some());
    assert_eq!(headers.to_pairs(), blocks);
}

#[test]
fn a_block_with_a_hole_is_no_block() {
    for block in [event_block(), retry_block()] {
        for index in (0..block.len()).filter(|index| block[*index].0 != names::TRACEPARENT) {
            let mut missing = block.clone();
            missing.remove(index);
            assert_eq!(read(&missing), Headers::default(), "without {}", block[index].0);
            let mut garbled = block.clone();
            garbled[index].1 = Cow::Borrowed(&[0xff]);
            assert_eq!(read(&garbled), Headers::default(), "garbled {}", block[index].0);
        }
    }
}

#[test]
fn a_bad_trace_context_costs_nothing_else() {
    let mut block = event_block();
    block[3].1 = Cow::Borrowed(b"00-zz");
    let event = read(&block).event.unwrap();
    assert_eq!((event.event_id.as_str(), event.traceparent.as_str()), ("0b5c", ""));
    block.truncate(3);
    assert_eq!(read(&block).event, Some(event));
}

#[test]
fn the_last_of_a_repeated_name_wins() {
    let mut block = event_block();
    block.push(pair(names::EVENT_ID, "later"));
    block.extend([pair("x-team", "a"), pair("x-team", "b")]);
    let headers = read(&block);
    assert_eq!(headers.event.unwrap().event_id, "later");
    assert_eq!(headers.other, [("x-team".to_owned(), b"b".to_vec())]);
}

#[test]
fn a_text_that_is_ascii_is_cut_too() {
    assert_eq!((ascii("abcd", 3), ascii("ab", 0)), ("abc".into(), "".into()));
    assert!(matches!(ascii("a b", 3), Cow::Borrowed("a b")));
}

#[test]
fn an_error_is_cut_and_made_ascii() {
    let mut retry = read(&retry_block()).retry.unwrap();
    retry.error = format!("naïve\r\n{}", "x".repeat(2000));
    let headers = Headers { retry: Some(retry), ..Headers::default() };
    let pairs = headers.to_pairs();
    let (_, error) = pairs.iter().find(|(name, _)| *name == names::ERROR).unwrap();
    assert!(error.starts_with(b"na?ve??xxx") && error.len() == 1024);
}
