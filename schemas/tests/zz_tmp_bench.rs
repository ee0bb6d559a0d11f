//! temp
#![allow(clippy::unwrap_used, clippy::print_stdout)]
use schemas::*;
use std::time::Instant;
#[test]
fn bench() {
    let body = include_str!("fixtures/calendly/captured2026_invitee_created_zoom_api.json");
    let now = jiff::Timestamp::UNIX_EPOCH;
    let n = 50_000;
    let t = Instant::now();
    for _ in 0..n {
        std::hint::black_box(calendly::Delivery::parse(std::hint::black_box(body.as_bytes())).unwrap());
    }
    println!("parse {:?}", t.elapsed() / n);
    let t = Instant::now();
    for _ in 0..n {
        let d = calendly::Delivery::parse(std::hint::black_box(body.as_bytes())).unwrap();
        std::hint::black_box(d.partition_key());
        std::hint::black_box(d.into_event(now));
    }
    println!("parse+into_event {:?}", t.elapsed() / n);
    let e = calendly::Delivery::parse(body.as_bytes()).unwrap().into_event(now);
    let t = Instant::now();
    for _ in 0..n {
        std::hint::black_box(codec::encode_calendly(std::hint::black_box(&e)).unwrap());
    }
    println!("encode {:?}", t.elapsed() / n);
    let b = codec::encode_calendly(&e).unwrap();
    let t = Instant::now();
    for _ in 0..n {
        std::hint::black_box(codec::decode_calendly(std::hint::black_box(&b)).unwrap());
    }
    println!("decode {:?}", t.elapsed() / n);
    let h = Headers {
        event: Some(EventHeaders {
            event_id: e.event_id.to_string(),
            event_type: e.event_type.clone(),
            received_at: now,
            traceparent: TraceParent::new(1, 2).to_string(),
        }),
        retry: None,
        other: vec![],
    };
    let t = Instant::now();
    for _ in 0..n {
        std::hint::black_box(std::hint::black_box(&h).to_pairs());
    }
    println!("headers {:?}", t.elapsed() / n);
    std::fs::write("/tmp/avro.bin", &b).unwrap();
    std::fs::write("/tmp/avro.json", body).unwrap();
}
