//! Ingest looks after Calendly's subscription.

use tests::calendly_api::{CalendlyDouble, TOKEN};
use tests::sandbox::{CALENDLY_SIGNING_KEY, Env, NO_STRIPE};
use tests::{Binary, Sandbox, Service, eventually};

use crate::world::PATIENCE;

const PUBLIC_URL: &str = "https://hooks.example/";
const CALLBACK: &str = "https://hooks.example/webhooks/calendly";

async fn prepare(name: &str, double: &CalendlyDouble) -> (Sandbox, Env) {
    let sandbox = Sandbox::new(name).await;
    let mut env = sandbox.env(NO_STRIPE);
    env.extend(double.env(PUBLIC_URL));
    env.insert("CALENDLY_WATCH_INTERVAL".to_owned(), "200ms".to_owned());
    (sandbox, env)
}

async fn gauge(ingest: &Service, name: &str, wanted: impl Fn(f64) -> bool) {
    eventually(PATIENCE, format!("{name} to be as wanted"), async || {
        let page = ingest.admin("/metrics").await?.1;
        let value = page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok())?;
        wanted(value).then_some(())
    })
    .await;
}

/// The one active subscription, other than `old`.
async fn active(double: &CalendlyDouble, old: Option<&str>) -> String {
    eventually(PATIENCE, "one active subscription", async || {
        let all = double.subscriptions();
        let [one] = all.as_slice() else { return None };
        let uri = one["uri"].as_str().unwrap().to_owned();
        (one["state"] == "active" && old != Some(uri.as_str())).then_some(uri)
    })
    .await
}

#[tokio::test]
async fn a_subscription_is_made_watched_and_made_again() {
    let double = CalendlyDouble::start().await;
    let (_sandbox, env) = prepare("guardian", &double).await;
    let ingest = Service::spawn(Binary::Ingest, &env);
    let made = active(&double, None).await;
    assert_eq!(double.signing_key(&made).as_deref(), Some(CALENDLY_SIGNING_KEY));
    assert_eq!(double.subscriptions()[0]["callback_url"], CALLBACK);
    gauge(&ingest, "calendly_subscription_active ", |value| value == 1.0).await;
    gauge(&ingest, "calendly_subscription_failing_seconds ", |value| value == 0.0).await;

    double.retrying_since(&made, Some("2026-01-01T00:00:00Z"));
    gauge(&ingest, "calendly_subscription_failing_seconds ", |value| value > 3600.0).await;
    gauge(&ingest, "calendly_subscription_active ", |value| value == 1.0).await;

    double.disable(&made);
    let second = active(&double, Some(&made)).await;
    assert_eq!(double.signing_key(&second).as_deref(), Some(CALENDLY_SIGNING_KEY));
    gauge(&ingest, "calendly_subscription_failing_seconds ", |value| value == 0.0).await;

    // A plan without webhooks: nothing can be made, which is what the gauge says.
    double.plan_has_webhooks(false);
    double.disable(&second);
    gauge(&ingest, "calendly_subscription_active ", |value| value == 0.0).await;
    assert_eq!(ingest.ready().await.unwrap().0, 200);
    double.plan_has_webhooks(true);
    active(&double, Some(&second)).await;
    gauge(&ingest, "calendly_subscription_active ", |value| value == 1.0).await;

    let log = ingest.stderr();
    assert!(log.contains("plan has no webhooks"), "{log}");
    assert!(!log.contains(TOKEN) && !log.contains(CALENDLY_SIGNING_KEY), "a secret is logged: {log}");
}

#[tokio::test]
async fn a_calendly_that_is_away_delays_nothing() {
    let double = CalendlyDouble::start().await;
    let (_sandbox, mut env) = prepare("guardian-alone", &double).await;
    env.insert("CALENDLY_API_BASE".to_owned(), "http://127.0.0.1:9".to_owned());
    let ingest = Service::spawn(Binary::Ingest, &env);
    ingest.wait_ready(PATIENCE).await;
    let line = "cannot be looked after";
    eventually(PATIENCE, "the warning", async || ingest.stderr().contains(line).then_some(())).await;
    ingest.sigterm();
    assert_eq!(ingest.wait_exit(PATIENCE).await.code(), Some(0));
    assert_eq!(ingest.stderr().matches(line).count(), 1, "{}", ingest.stderr());
}

#[tokio::test]
async fn replicas_do_not_get_in_each_others_way() {
    let double = CalendlyDouble::start().await;
    let (sandbox, env) = prepare("guardian-crowd", &double).await;
    let replicas: Vec<Service> = (0..3)
        .map(|number| {
            let mut env = env.clone();
            env.insert("INGEST_ADDR".to_owned(), format!("127.0.0.1:{}", tests::ports::free_port()));
            let spool = sandbox.dir().join(format!("spool-{number}"));
            env.insert("SPOOL_DIR".to_owned(), spool.display().to_string());
            Service::spawn(Binary::Ingest, &env)
        })
        .collect();
    for replica in &replicas {
        gauge(replica, "calendly_subscription_active ", |value| value == 1.0).await;
    }
    let mut current = active(&double, None).await;
    for _ in 0..3 {
        double.disable(&current);
        current = active(&double, Some(&current)).await;
    }
    // All have seen it, and nobody touches it any more.
    let looks = double.requests().len();
    eventually(PATIENCE, "a few more looks", async || (double.requests().len() > looks + 12).then_some(())).await;
    assert_eq!(active(&double, None).await, current);
}
