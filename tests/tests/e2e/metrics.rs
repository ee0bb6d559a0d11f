//! Every metric that README names is there, from the service that it is of, described, and with few values in its labels.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tests::calendly::Invitee;
use tests::calendly_api::CalendlyDouble;
use tests::stripe::{Endpoint, Fault};
use tests::{Service, eventually, run_calctl, within};

use crate::world::{PATIENCE, World};

const README: &str = include_str!("../../../README.md");
/// No label has more values than there are event types, operations at Stripe with their outcomes, or tiers.
const MOST_SERIES: usize = 120;

/// The metrics of README's table.
fn promised() -> BTreeSet<String> {
    let section = README.split("## Metrics").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("a section");
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let first_cells = rows.map(|row| row.split('|').nth(1).unwrap_or_default());
    let names = first_cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    names.map(str::to_owned).collect()
}

/// The metrics of a page with the number of their series; each has to have help and a type.
fn described(page: &str) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for line in page.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let series = line.split(['{', ' ']).next().unwrap_or_default();
        let typed = |name: &str| page.contains(&format!("# TYPE {name} ")) && page.contains(&format!("# HELP {name} "));
        let stripped = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| series.strip_suffix(suffix));
        let name = stripped.filter(|name| typed(name)).unwrap_or(series);
        assert!(typed(name), "{series} has no help or no type");
        // A histogram's buckets are no values of a label.
        if !line.contains(",le=\"") && !line.contains("{le=\"") {
            *found.entry(name.to_owned()).or_insert(0) += 1;
        }
    }
    found
}

async fn all(world: &World) -> BTreeMap<String, usize> {
    let services: [&Service; 3] = [&world.ingest, &world.processor, &world.retrier];
    let mut all = BTreeMap::new();
    for service in services {
        let (_, page) = service.admin("/metrics").await.expect("the admin address answers");
        for (name, series) in described(&page) {
            let most = all.entry(name).or_insert(0);
            *most = series.max(*most);
        }
    }
    all
}

#[tokio::test]
async fn readme_and_services_agree() {
    let calendly = CalendlyDouble::start().await;
    let watched = calendly.env("https://hooks.example");
    let watched: Vec<(&str, &str)> = watched.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let world = World::start_with("metrics", &watched).await;
    let invitee = Invitee::random();
    world.paid(&invitee).await;
    world.send(&invitee.canceled()).await;
    world.booking(&invitee, "CANCELED REFUNDED").await;
    world.stripe.inject(Endpoint::CreateSession, Fault::status(503));
    world.send(&Invitee::random().created()).await;
    world.processed("retried", 1.0).await;
    let promised = promised();
    assert!(promised.len() > 50, "{promised:?}");
    let missing = |found: &BTreeMap<String, usize>| -> Vec<String> {
        promised.iter().filter(|name| !found.contains_key(*name)).cloned().collect()
    };
    // Some come with librdkafka's next report.
    let _ = within(PATIENCE, async || missing(&all(&world).await).is_empty().then_some(())).await;
    let found = all(&world).await;
    assert_eq!(missing(&found), Vec::<String>::new(), "README tells of what no service has");
    for (name, series) in &found {
        assert!(*series <= MOST_SERIES, "{name} has {series} series");
        assert!(promised.contains(name) || name.starts_with("process_"), "README does not tell of {name}");
    }
    let processor = world.processor.metrics().await;
    assert_eq!(processor.sum("payments_amount_minor_total", &[("currency", "usd")]), 5000.0);
    assert_eq!(processor.sum("refunds_amount_minor_total", &[("currency", "usd")]), 5000.0);
    assert_eq!(processor.sum("refunds_total", &[("outcome", "succeeded")]), 1.0);
}

/// What waits is seen where it waits, and an operator sees it too.
#[tokio::test]
async fn what_waits_and_what_died_shows_in_the_overview() {
    let world = World::start_with("top", &[("RETRY_DELAYS", "1h,2h")]).await;
    world.stripe.inject(Endpoint::CreateSession, Fault::status(503));
    world.send(&Invitee::random().created()).await;
    world.processed("retried", 1.0).await;
    world.stripe.inject(Endpoint::CreateSession, Fault::status_with_code(400, "url_invalid"));
    world.send(&Invitee::random().created()).await;
    world.wait_for_records("calendly.events.dlq", 1).await;
    let from = [&world.ingest, &world.processor, &world.retrier].map(Service::admin_url).join(",");
    let args = ["top", "--once", "--interval", "200ms", "--from", &from];
    let overview: Value = eventually(PATIENCE, "the overview to show both", async || {
        let output = run_calctl(&[&args[..], &["--output", "json"]].concat(), &world.env).await;
        assert!(output.status.success(), "{output:?}");
        let overview: Value = serde_json::from_slice(&output.stdout).unwrap();
        let waiting = overview.pointer("/waiting/0/1/records").and_then(Value::as_f64);
        (waiting == Some(1.0) && overview["dead"].as_f64() == Some(1.0)).then_some(overview)
    })
    .await;
    assert_eq!(overview.pointer("/waiting/0/0"), Some(&Value::from("1h")));
    assert!(overview["services"].as_array().unwrap().iter().all(|service| service["ready"] == true), "{overview}");
    let text = run_calctl(&args, &world.env).await;
    let text = String::from_utf8(text.stdout).unwrap();
    for part in ["processor ready", "1h 1", "1 in the DLQ", "accepted", "no event yet"] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "colours are for terminals: {text}");

    let nobody = run_calctl(&["top", "--once", "--interval", "1ms", "--from", "http://127.0.0.1:9"], &world.env).await;
    assert_eq!(nobody.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("--from"), "{nobody:?}");
}
