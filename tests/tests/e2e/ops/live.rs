//! Everything under a real Prometheus, with traffic that meets most of what can go wrong.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::Stdio;

use serde_json::Value;
use tests::calendly::{Invitee, SIGNATURE_HEADER, Signer};
use tests::prometheus::{Prometheus, ops, tool};
use tests::sandbox::CALENDLY_SIGNING_KEY;
use tests::service::http_client;
use tests::stripe::{Endpoint, Fault};
use tests::{Service, eventually};

use super::dashboards::{all, items};
use super::expressions::{MAY_BE_EMPTY, NOT_REPORTED, concrete, metrics_in};
use crate::world::{PATIENCE, World};

/// Our rules, quickly evaluated, over these services under the names of jobs that the compose stack has.
async fn prometheus(world: &World) -> Prometheus {
    let jobs = [("ingest", &world.ingest), ("processor", &world.processor), ("retrier", &world.retrier)];
    let job = |(name, service): (&str, &Service)| {
        let address = service.admin_url().replace("http://", "");
        format!("- {{job_name: {name}, static_configs: [{{targets: ['{address}']}}]}}\n")
    };
    let config = format!(
        "global: {{scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}}\n\
         rule_files: ['{}/*.yml']\n\
         scrape_configs:\n{}",
        ops("prometheus/rules").display(),
        jobs.map(job).concat()
    );
    let prometheus = Prometheus::start(&config).await;
    eventually(PATIENCE, "every service to be read twice", async || {
        let read = prometheus.query("count(min_over_time(up[1m]) == 1 and count_over_time(up[1m]) > 1) == 3").await;
        (read.ok()?.len() == 1).then_some(())
    })
    .await;
    prometheus
}

/// Bookings that go well, and one of each kind of failure.
async fn traffic(world: &World) {
    let url = format!("{}/webhooks/calendly", world.sandbox.ingest_url());
    let happy = Invitee::random();
    world.paid(&happy).await;
    world.send(&happy.canceled()).await;
    world.booking(&happy, "CANCELED REFUNDED").await;
    world.stripe.fail_refund_after_success(&world.stripe.refunds()[0].id).expect("a refund can fail late");
    world.booking(&happy, "CANCELED REFUND_FAILED").await;

    // Retried once, then well; refused for good, so dead; authentic and no event; forged; stale.
    world.stripe.inject(Endpoint::CreateSession, Fault::Saved500);
    let retried = Invitee::random();
    world.send(&retried.created()).await;
    world.open_session(&retried).await;
    world.stripe.inject(Endpoint::CreateSession, Fault::status_with_code(400, "url_invalid"));
    world.send(&Invitee::random().created()).await;
    world.processed("dead", 1.0).await;
    assert_eq!(world.send_raw(b"{}").await.0, 400);
    let body = Invitee::random().created().body();
    let forged = Signer::new("somebody else's key").sign_now(&body);
    let stale = Signer::new(CALENDLY_SIGNING_KEY).header(jiff::Timestamp::now().as_second() - 3600, &body);
    for signature in [forged, stale] {
        let request = http_client().post(&url).header(SIGNATURE_HEADER, signature).body(body.clone());
        assert_eq!(request.send().await.expect("ingest answers").status(), 401);
    }
}

/// Does `/metrics` follow the conventions?
async fn check_metrics(service: &Service) {
    let (_, page) = service.admin("/metrics").await.expect("metrics are served");
    let mut command = tool("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = command.spawn().expect("the found binary can be run");
    promtool.stdin.take().expect("it is piped").write_all(page.as_bytes()).expect("promtool reads");
    let output = promtool.wait_with_output().expect("promtool ends");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.is_empty(), "{}:\n{complaints}", service.admin_url());
}

/// Has the expression a sample that is a number?
async fn has_data(prometheus: &Prometheus, expression: &str) -> bool {
    let samples = prometheus.query(expression).await.unwrap_or_else(|error| panic!("{expression}\n{error}"));
    samples.iter().any(|sample| sample["value"][1].as_str().is_some_and(|value| value != "NaN"))
}

/// Every expression of every dashboard: the panel, and what it asks.
fn expressions() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (file, dashboard) in all() {
        for panel in items(&dashboard["panels"]) {
            for target in items(&panel["targets"]) {
                let name = format!("{file}: {}: {}", panel["title"].as_str().unwrap_or_default(), target["refId"]);
                found.push((name.replace('"', ""), concrete(target["expr"].as_str().expect("a target asks"))));
            }
        }
        for annotation in items(&dashboard["annotations"]["list"]) {
            found.push((format!("{file}: deploys"), concrete(annotation["expr"].as_str().expect("it asks"))));
        }
    }
    found
}

#[tokio::test]
async fn every_panel_and_rule_works_on_what_the_services_really_report() {
    let world = World::start("observability").await;
    let prometheus = prometheus(&world).await;
    traffic(&world).await;
    for service in [&world.ingest, &world.processor, &world.retrier] {
        check_metrics(service).await;
    }

    let not_reported = |expression: &str| metrics_in(expression).iter().any(|m| NOT_REPORTED.contains(&m.as_str()));
    for (panel, expression) in expressions() {
        let may_be_empty = MAY_BE_EMPTY.iter().any(|(name, _)| panel.starts_with(name)) || not_reported(&expression);
        if has_data(&prometheus, &expression).await || may_be_empty {
            continue;
        }
        let what = format!("data for {panel}: {expression}");
        eventually(PATIENCE, what, async || has_data(&prometheus, &expression).await.then_some(())).await;
    }

    let names = prometheus.api("label/__name__/values", &[]).await.expect("Prometheus lists its metrics");
    let names: BTreeSet<_> = items(&names).iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let groups = prometheus.api("rules", &[]).await.expect("Prometheus lists its rules");
    for rule in items(&groups["groups"]).iter().flat_map(|group| items(&group["rules"])) {
        let (name, expression) = (&rule["name"], rule["query"].as_str().expect("a rule asks"));
        assert_eq!(rule["health"], "ok", "{name}: {}", rule["lastError"]);
        for metric in metrics_in(expression) {
            let known = names.contains(&metric) || NOT_REPORTED.contains(&metric.as_str());
            assert!(known, "{name} asks for {metric}, which nobody reports");
        }
    }

    let alert = eventually(PATIENCE, "DeadLetters to fire", async || {
        let alerts = prometheus.api("alerts", &[]).await.ok()?;
        let firing = |alert: &&Value| alert["labels"]["alertname"] == "DeadLetters" && alert["state"] == "firing";
        items(&alerts["alerts"]).iter().find(firing).cloned()
    })
    .await;
    assert_eq!(alert["annotations"]["runbook_url"], "docs/RUNBOOK.md#deadletters");
    let class = alert["labels"]["error_class"].as_str().expect("the class is named");
    let summary = alert["annotations"]["summary"].as_str().expect("a summary is there");
    assert!(summary.contains(class) && !summary.contains("no value"), "{summary}");
}
