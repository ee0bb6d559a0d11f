//! `calctl simulate` against a running pipeline.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tests::sandbox::NO_STRIPE;
use tests::{Binary, Sandbox, Service, eventually, run_calctl};

use crate::world::{PATIENCE, World};

#[tokio::test]
async fn sample_customers_end_as_bookings() {
    let world = World::start("simulate").await;
    let url = world.sandbox.ingest_url();
    let args = ["simulate", "--url", &url, "--count", "4", "--rate", "100", "--shuffle", "--output", "json"];
    let output = run_calctl(&args, &world.env).await;
    assert!(output.status.success(), "{output:?}");
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(rows.len(), 8);
    assert!(rows.iter().all(|row| row["status"] == 200), "{rows:?}");
    // One delivery comes twice. On a slow machine others are in the topic twice as well: by way of the spool.
    let records = world.records("calendly.events").await;
    let events: BTreeSet<_> = records.iter().map(|record| record.header("event-id")).collect();
    assert!((events.len(), records.len() >= 8) == (7, true), "{} events, {} records", events.len(), records.len());
    // Four customers: one has cancelled, one has moved, one was told of twice.
    eventually(PATIENCE, "four bookings, one of them cancelled", async || {
        let rows = world.database.query("SELECT status, checkout_url IS NULL FROM bookings", &[]).await.unwrap();
        let mut counts = BTreeMap::new();
        for row in rows {
            *counts.entry((row.get::<_, String>(0), row.get::<_, bool>(1))).or_insert(0) += 1;
        }
        let [canceled, open] = ["CANCELED", "PENDING_PAYMENT"].map(str::to_owned);
        (counts == BTreeMap::from([((canceled, true), 1), ((open, false), 3)])).then_some(())
    })
    .await;

    let mut forger = world.env.clone();
    forger.insert("CALENDLY_SIGNING_KEYS".to_owned(), "another".to_owned());
    let output = run_calctl(&["simulate", "--url", &url, "--count", "1"], &forger).await;
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(stderr.contains("1 of 1 deliveries were not accepted"), "{stderr}");
    assert_eq!(run_calctl(&["simulate", "--url", "nowhere"], &world.env).await.status.code(), Some(2));
}

#[tokio::test]
async fn what_is_not_accepted_is_sent_again_as_long_as_asked() {
    let sandbox = Sandbox::new("simulate-again").await;
    let env = sandbox.env(NO_STRIPE);
    let url = sandbox.ingest_url();
    let simulate = ["simulate", "--url", &url, "--count", "1", "--retry-for"];
    let patient: Vec<&str> = simulate.into_iter().chain(["50s"]).collect();
    // Nobody listens yet.
    let (output, _ingest) = tokio::join!(run_calctl(&patient, &env), async {
        let given_up = run_calctl(&simulate.into_iter().chain(["1s"]).collect::<Vec<_>>(), &env).await;
        assert_eq!(given_up.status.code(), Some(1), "{given_up:?}");
        let ingest = Service::spawn(Binary::Ingest, &env);
        ingest.wait_ready(PATIENCE).await;
        ingest
    });
    assert!(output.status.success(), "{output:?}");
}
