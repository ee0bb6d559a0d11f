//! What waits in a tier moves exactly once and in time, whatever becomes of the replicas and the broker.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use schemas::headers::names::RETRY_DUE_AT;
use tests::bench::load::{Load, fill};
use tests::bench::waiting::{Spacing, records};
use tests::kafka::{Isolation, Kafka, Message, read_all, wait_for};
use tests::sandbox::{Env, NO_STRIPE};
use tests::{Binary, Sandbox, Service, eventually, rundir, shared};

use crate::world::PATIENCE;

/// A killed or frozen member is missed after 10 s, and what it left open is aborted up to 20 s after it was begun.
const LONG: Duration = Duration::from_mins(2);

fn env(sandbox: &Sandbox, delays: &str) -> Env {
    let mut env = sandbox.env(NO_STRIPE);
    env.insert("RETRY_DELAYS".to_owned(), delays.to_owned());
    env
}

async fn write(sandbox: &Sandbox, tier: &str, loads: impl Iterator<Item = Load> + Send + 'static) {
    let (brokers, topic) = (sandbox.brokers().to_owned(), sandbox.topic(&format!("calendly.events.retry.{tier}")));
    tokio::task::spawn_blocking(move || fill(&brokers, &topic, loads)).await.unwrap();
}

async fn released(sandbox: &Sandbox, count: u32) -> Vec<Message> {
    let (due, count) = (sandbox.topic("calendly.events.due"), count as usize);
    wait_for(sandbox.brokers(), &due, LONG, move |found| found.len() >= count).await
}

fn due_at(message: &Message) -> Timestamp {
    message.header(RETRY_DUE_AT).unwrap().parse().unwrap()
}

/// Every number once, and none before its time.
async fn assert_once(sandbox: &Sandbox, numbers: Range<u32>) {
    let all = read_all(sandbox.brokers(), &sandbox.topic("calendly.events.due"), Isolation::Committed).await;
    let mut times: HashMap<u32, u32> = HashMap::new();
    for message in &all {
        let number = message.key_str().unwrap().rsplit('/').next().unwrap().parse().unwrap();
        *times.entry(number).or_default() += 1;
        // Kafka's time has whole milliseconds.
        assert!(message.timestamp >= due_at(message).as_millisecond(), "{number} is early");
    }
    let wrong: Vec<_> = numbers.filter(|number| times.remove(number) != Some(1)).collect();
    assert!(wrong.is_empty() && times.is_empty(), "missing or doubled: {wrong:?}, unknown: {times:?}");
}

/// A replica that was frozen in the midst of its releases, and thawed when another had taken over.
#[tokio::test]
async fn a_frozen_replica_that_wakes_up_releases_nothing_twice() {
    const COUNT: u32 = 6000;
    let sandbox = Sandbox::new("zombie").await;
    let env = env(&sandbox, "20s");
    let zombie = Service::spawn(Binary::Retrier, &env);
    zombie.wait_ready(PATIENCE).await;
    let due = Spacing { first: Timestamp::now() + Duration::from_secs(2), interval: Duration::from_micros(500) };
    write(&sandbox, "20s", records(0..COUNT, due)).await;
    released(&sandbox, 500).await;
    zombie.freeze();
    let successor = Service::spawn(Binary::Retrier, &env);
    released(&sandbox, COUNT).await;
    zombie.thaw();
    // Both have a share again.
    let partitions = async |service: &Service| {
        let log = service.stderr();
        log.lines().filter(|line| line.contains("partitions assigned")).count()
    };
    let before = partitions(&zombie).await;
    eventually(LONG, "the thawed one to join again", async || (partitions(&zombie).await > before).then_some(())).await;
    write(&sandbox, "20s", records(COUNT..COUNT + 500, Spacing::at(Timestamp::now()))).await;
    released(&sandbox, COUNT + 500).await;
    for service in [&zombie, &successor] {
        service.sigterm();
        assert_eq!(service.wait_exit(PATIENCE).await.code(), Some(0), "{}", service.stderr());
    }
    assert_once(&sandbox, 0..COUNT + 500).await;
}

#[tokio::test]
async fn two_replicas_share_the_tiers_and_one_is_killed() {
    const COUNT: u32 = 6000;
    let sandbox = Sandbox::new("killed-replica").await;
    let env = env(&sandbox, "20s,30s");
    let replicas = [Service::spawn(Binary::Retrier, &env), Service::spawn(Binary::Retrier, &env)];
    for replica in &replicas {
        replica.wait_ready(PATIENCE).await;
    }
    let due = Spacing { first: Timestamp::now() + Duration::from_secs(3), interval: Duration::from_micros(500) };
    write(&sandbox, "20s", records(0..COUNT / 2, due)).await;
    write(&sandbox, "30s", records(COUNT / 2..COUNT, due)).await;
    let moved = async |service: &Service| service.metrics().await.sum("retries_released_total", &[]);
    eventually(PATIENCE, "both to release", async || {
        (moved(&replicas[0]).await > 100.0 && moved(&replicas[1]).await > 100.0).then_some(())
    })
    .await;
    replicas[1].sigkill();
    released(&sandbox, COUNT).await;
    assert_once(&sandbox, 0..COUNT).await;
}

/// Longer than any step of a transaction: the session ends, and another one goes on.
#[tokio::test]
async fn a_broker_that_is_away_costs_lateness_and_no_records() {
    const COUNT: u32 = 4000;
    let database_url = tokio::task::spawn_blocking(|| shared::shared().database_url.clone()).await.unwrap();
    let kafka = tokio::task::spawn_blocking(|| Kafka::start(&rundir::fresh("kafka-of-relay"))).await.unwrap();
    let sandbox = Sandbox::on("broker-away", kafka.brokers(), &database_url).await;
    let retrier = Service::spawn(Binary::Retrier, &env(&sandbox, "20s"));
    retrier.wait_ready(PATIENCE).await;
    let due = Spacing { first: Timestamp::now() + Duration::from_secs(2), interval: Duration::from_millis(1) };
    write(&sandbox, "20s", records(0..COUNT, due)).await;
    released(&sandbox, 500).await;
    kafka.freeze();
    eventually(LONG, "readiness to tell", async || {
        let (status, body) = retrier.ready().await?;
        (status == 503 && body["checks"]["relay"]["status"] == "down").then_some(())
    })
    .await;
    kafka.thaw();
    released(&sandbox, COUNT).await;
    assert_once(&sandbox, 0..COUNT).await;
    retrier.wait_ready(LONG).await;

    // It can be stopped while nothing answers, too.
    write(&sandbox, "20s", records(COUNT..COUNT + 1, Spacing::at(Timestamp::now() + Duration::from_secs(10)))).await;
    kafka.freeze();
    retrier.sigterm();
    assert_eq!(retrier.wait_exit(Duration::from_secs(30)).await.code(), Some(0), "{}", retrier.stderr());
    kafka.thaw();
}

/// 40 MiB is more than what a producer's queue holds by default.
#[tokio::test]
async fn records_of_any_size_move_on() {
    let sandbox = Sandbox::new("large").await;
    let retrier = Service::spawn(Binary::Retrier, &env(&sandbox, "1s"));
    retrier.wait_ready(PATIENCE).await;
    let tier = sandbox.topic("calendly.events.retry.1s");
    let due = Timestamp::now().to_string();
    let sizes = [1 << 20, 40 << 20, (1 << 20) + 1, 3];
    for size in sizes {
        let value = vec![b'x'; size];
        // One key: the small one comes behind the large ones, in their partition.
        tests::kafka::produce(sandbox.brokers(), &tier, Some(b"key"), &value, &[(RETRY_DUE_AT, due.as_bytes())]).await;
    }
    let found = released(&sandbox, 4).await;
    assert_eq!(found.iter().map(|message| message.value.len()).collect::<Vec<_>>(), sizes);
}

#[tokio::test]
async fn every_tier_is_on_time() {
    const EACH: u32 = 1000;
    let sandbox = Sandbox::new("on-time").await;
    let retrier = Service::spawn(Binary::Retrier, &env(&sandbox, "10s,15s,20s"));
    retrier.wait_ready(PATIENCE).await;
    let due = Spacing { first: Timestamp::now() + Duration::from_secs(4), interval: Duration::from_millis(3) };
    for (tier, begin) in [("10s", 0), ("15s", EACH), ("20s", 2 * EACH)] {
        write(&sandbox, tier, records(begin..begin + EACH, due)).await;
    }
    assert!(Timestamp::now() < due.first, "this machine is too slow for the test to say anything");
    // When a consumer of the due topic saw each.
    let seen: Arc<Mutex<Vec<Timestamp>>> = Arc::default();
    let (arrivals, topic) = (seen.clone(), sandbox.topic("calendly.events.due"));
    let found = wait_for(sandbox.brokers(), &topic, LONG, move |found| {
        arrivals.lock().unwrap().resize_with(found.len(), Timestamp::now);
        found.len() >= 3 * EACH as usize
    })
    .await;
    let seen = seen.lock().unwrap();
    let late = |(message, at): (&Message, &Timestamp)| at.duration_since(due_at(message)).as_millis();
    let mut late: Vec<_> = found.iter().zip(seen.iter()).map(late).collect();
    late.sort_unstable();
    println!(
        "late by {} ms at least, {} at p50, {} at p99",
        late[0],
        late[late.len() / 2],
        late[late.len() * 99 / 100]
    );
    assert!(late[0] >= 0, "none early");
    assert!(late[late.len() * 99 / 100] < 1000, "p99 is {} ms", late[late.len() * 99 / 100]);
}
