//! The retrier alone: what waits in a tier, while replicas come and go.

use std::time::Duration;

use jiff::Timestamp;
use schemas::ladder::ErrorClass;
use schemas::{Headers, RetryHeaders};
use tests::kafka::{Isolation, produce_many, read_all, wait_for};
use tests::sandbox::NO_STRIPE;
use tests::{Binary, Sandbox, Service, eventually};

use crate::world::PATIENCE;

const RECORDS: usize = 600;

fn headers(due_at: Timestamp) -> Vec<(String, Vec<u8>)> {
    let retry = RetryHeaders {
        attempt: 1,
        due_at,
        first_failed_at: due_at,
        failed_at: due_at,
        error_class: ErrorClass::Transient,
        error: "none".to_owned(),
        origin_topic: "calendly.events".to_owned(),
        origin_partition: 0,
        origin_offset: 0,
    };
    let headers = Headers { retry: Some(retry), ..Headers::default() };
    headers.to_pairs().into_iter().map(|(name, value)| (name.to_owned(), value.into_owned())).collect()
}

/// More waits in each partition than is held in memory, so the partitions are paused when they change hands.
#[tokio::test]
async fn paused_partitions_that_change_hands_are_released() {
    let sandbox = Sandbox::new("change-hands").await;
    let mut env = sandbox.env(NO_STRIPE);
    env.extend([("RETRY_DELAYS", "20s"), ("TOPIC_PARTITIONS", "2")].map(|(k, v)| (k.to_owned(), v.to_owned())));
    let first = Service::spawn(Binary::Retrier, &env);
    first.wait_ready(PATIENCE).await;

    let due_at = Timestamp::now() + Duration::from_secs(12);
    let (tier, headers) = (sandbox.topic("calendly.events.retry.20s"), headers(due_at));
    let pairs: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
    let records: Vec<_> = (0..RECORDS).map(|n| (n.to_string(), n.to_string().into_bytes())).collect();
    produce_many(sandbox.brokers(), &tier, &pairs, &records).await;
    let waiting = async |service: &Service| service.metrics().await.sum("consumer_lag_records", &[("topic", &tier)]);
    eventually(PATIENCE, "the lag to tell what waits", async || (waiting(&first).await == 600.0).then_some(())).await;

    // One comes, takes a partition, and goes again before anything is due.
    let second = Service::spawn(Binary::Retrier, &env);
    eventually(PATIENCE, "the second to have a share", async || (waiting(&second).await > 0.0).then_some(())).await;
    second.sigterm();
    assert_eq!(second.wait_exit(PATIENCE).await.code(), Some(0), "{}", second.stderr());
    assert!(Timestamp::now() < due_at, "this machine is too slow for the test to say anything");

    let due = sandbox.topic("calendly.events.due");
    wait_for(sandbox.brokers(), &due, PATIENCE, |found| found.len() >= RECORDS).await;
    let released = read_all(sandbox.brokers(), &due, Isolation::Committed).await;
    assert_eq!(released.len(), RECORDS, "none twice");
    assert!(released.iter().all(|record| record.timestamp >= due_at.as_millisecond()), "none early");
    eventually(PATIENCE, "the lag to be gone", async || (waiting(&first).await == 0.0).then_some(())).await;
}

/// A burst is due at once, and all of it is there a second later; a record from a clock far ahead stops none of it.
#[tokio::test]
async fn a_burst_is_released_in_time() {
    const BURST: usize = 3000;
    let sandbox = Sandbox::new("burst").await;
    let mut env = sandbox.env(NO_STRIPE);
    env.insert("RETRY_DELAYS".to_owned(), "8s".to_owned());
    let retrier = Service::spawn(Binary::Retrier, &env);
    retrier.wait_ready(PATIENCE).await;
    let tier = sandbox.topic("calendly.events.retry.8s");
    let far = headers(Timestamp::now() + Duration::from_hours(1));
    let due_at = Timestamp::now() + Duration::from_secs(6);
    let near = headers(due_at);
    for (headers, count) in [(&near, BURST), (&far, 1)] {
        let borrowed: Vec<(&str, &[u8])> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        let records: Vec<_> = (0..count).map(|n| (format!("{n}"), vec![b'x'; 3000])).collect();
        produce_many(sandbox.brokers(), &tier, &borrowed, &records).await;
    }
    assert!(Timestamp::now() < due_at, "this machine is too slow for the test to say anything");
    let due = sandbox.topic("calendly.events.due");
    let released = wait_for(sandbox.brokers(), &due, PATIENCE, |found| found.len() > BURST).await;
    let late = |record: &tests::kafka::Message| record.timestamp - due_at.as_millisecond();
    assert!(released.iter().all(|record| late(record) >= -1), "none early");
    let far_record = 1;
    let too_late = released.iter().filter(|record| late(record) > 1500).count();
    assert!(too_late <= far_record, "{too_late} were late, by up to {:?} ms", released.iter().map(late).max());
}
