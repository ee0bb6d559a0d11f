//! One event's whole life is one trace, retries and all.

use tests::calendly::{Invitee, SIGNATURE_HEADER, Signer};
use tests::kafka::wait_for;
use tests::otlp::{Collector, Span};
use tests::sandbox::{CALENDLY_SIGNING_KEY, NO_STRIPE};
use tests::service::http_client;
use tests::stripe::{Endpoint, Fault};
use tests::{Binary, Sandbox, Service, eventually};

use crate::world::{PATIENCE, World};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SENDER: &str = "00f067aa0ba902b7";

/// Delivers as a sender that is part of a trace itself. True when ingest took it.
async fn delivered_within_a_trace(sandbox: &Sandbox, invitee: &Invitee) -> bool {
    let body = invitee.created().body();
    let request = http_client()
        .post(format!("{}/webhooks/calendly", sandbox.ingest_url()))
        .header(SIGNATURE_HEADER, Signer::new(CALENDLY_SIGNING_KEY).sign_now(&body))
        .header("traceparent", format!("00-{TRACE}-{SENDER}-01"))
        .body(body);
    request.send().await.is_ok_and(|answer| answer.status() == 200)
}

/// The one span of the trace for which this holds.
fn only<'a>(spans: &'a [Span], what: &str, holds: impl Fn(&Span) -> bool) -> &'a Span {
    let found: Vec<&Span> = spans.iter().filter(|span| holds(span)).collect();
    assert_eq!(found.len(), 1, "{what} in {spans:#?}");
    found[0]
}

fn named<'a>(name: &'a str, parent: &'a Span) -> impl Fn(&Span) -> bool + 'a {
    move |span| span.name == name && span.parent == parent.id
}

/// What every try does: a transaction for the event, a request to Stripe, a transaction for what came of it.
fn assert_works(spans: &[Span], event: &Span, operations: &[&str]) {
    let applies: Vec<&Span> = spans.iter().filter(|span| named("apply", event)(span)).collect();
    assert!(applies.len() >= 2, "{spans:#?}");
    for apply in applies {
        let transaction = only(spans, "the transaction of a request", named("transaction", apply));
        assert_eq!(transaction.attribute("db.system.name"), "postgresql");
        assert_eq!(transaction.attribute("outcome"), "committed");
    }
    for operation in operations {
        let request = only(spans, operation, named(&format!("stripe {operation}"), event));
        assert_eq!((request.service.as_str(), request.kind), ("processor", 3));
        assert!(!request.attribute("http.response.status_code").is_empty(), "{request:?}");
    }
}

#[tokio::test]
async fn one_event_with_a_retry_is_one_trace() {
    let collector = Collector::start().await;
    let world = World::start_with("trace", &collector.env()).await;
    world.stripe.inject(Endpoint::CreateSession, Fault::Saved500);
    let invitee = Invitee::random();
    assert!(delivered_within_a_trace(&world.sandbox, &invitee).await);
    world.open_session(&invitee).await;
    let complete = |spans: &[Span]| {
        let has = |name: &str, outcome: &str| spans.iter().any(|s| s.name == name && s.attribute("outcome") == outcome);
        has("webhook", "accepted") && has("event", "applied") && spans.iter().any(|span| span.name == "release")
    };
    let spans = eventually(PATIENCE, "the whole trace", async || {
        let spans = collector.trace(TRACE);
        complete(&spans).then_some(spans)
    })
    .await;
    let topic = |name: &str| world.sandbox.topic(name);

    let webhook = only(&spans, "the request", |span| span.name == "webhook");
    assert_eq!((webhook.service.as_str(), webhook.parent.as_str(), webhook.kind), ("ingest", SENDER, 2));
    assert_eq!(webhook.attribute("http.response.status_code"), "200");
    let published = only(&spans, "the record", named("publish", webhook));
    assert_eq!(published.attribute("messaging.destination.name"), topic("calendly.events"));

    let first = only(&spans, "the first try", |span| span.name == "event" && span.attribute("attempt") == "0");
    assert_eq!((first.service.as_str(), &first.parent, first.kind), ("processor", &webhook.id, 5));
    assert_eq!((first.attribute("outcome"), first.links.len(), first.is_error), ("retried", 0, true));
    assert_works(&spans, first, &["create_session"]);
    let moved = only(&spans, "the move to the tier", named("publish", first));
    assert_eq!(moved.attribute("messaging.destination.name"), topic("calendly.events.retry.300ms"));

    let link = (TRACE.to_owned(), first.id.clone());
    let release = only(&spans, "the release", |span| span.name == "release");
    assert_eq!((release.service.as_str(), &release.parent), ("retrier", &webhook.id));
    assert_eq!(release.links, std::slice::from_ref(&link));
    assert_eq!(release.attribute("messaging.destination.name"), topic("calendly.events.due"));

    let second = only(&spans, "the retry", |span| span.name == "event" && span.attribute("attempt") == "1");
    assert_eq!((&second.parent, second.is_error), (&webhook.id, false));
    assert_eq!(second.links, [link], "a retry is linked to the try before it");
    // Stripe has saved the failure under the first key, so the retry looks before it acts.
    assert_works(&spans, second, &["list_sessions", "create_session"]);
    let row = world.row(&invitee).await.unwrap();
    assert_eq!(second.attribute("booking_id"), row.get::<_, uuid::Uuid>("id").to_string());
    assert_eq!(second.attribute("event_id"), webhook.attribute("event_id"));

    let delivery = format!("00-{TRACE}-{}-01", webhook.id);
    for name in ["calendly.events", "calendly.events.retry.300ms", "calendly.events.due"] {
        let record = &world.records(name).await[0];
        assert_eq!(record.header("traceparent"), Some(delivery.as_str()), "{name}");
        let failed = (name != "calendly.events").then(|| format!("00-{TRACE}-{}-01", first.id));
        assert_eq!(record.header("failed-traceparent"), failed.as_deref(), "{name}");
    }
    assert!(spans.iter().all(|span| span.parent == SENDER || spans.iter().any(|other| other.id == span.parent)));
}

/// What died can be traced from the dead letter, and what an operator replays goes on in the same trace.
#[tokio::test]
async fn a_dead_letter_and_its_replay_stay_in_the_trace() {
    let collector = Collector::start().await;
    let world = World::start_with("trace-dead", &collector.env()).await;
    world.stripe.inject(Endpoint::CreateSession, Fault::status_with_code(400, "url_invalid"));
    let invitee = Invitee::random();
    assert!(delivered_within_a_trace(&world.sandbox, &invitee).await);
    let dead = world.wait_for_records("calendly.events.dlq", 1).await;
    assert!(dead[0].header("traceparent").unwrap().contains(TRACE));
    let replayed = tests::run_calctl(&["dlq", "replay"], &world.env).await;
    assert!(replayed.status.success(), "{}", String::from_utf8_lossy(&replayed.stderr));
    world.open_session(&invitee).await;
    let tries = eventually(PATIENCE, "both tries", async || {
        let spans = collector.trace(TRACE);
        let tries: Vec<Span> = spans.into_iter().filter(|span| span.name == "event").collect();
        (tries.len() == 2).then_some(tries)
    })
    .await;
    let [died, applied] =
        ["dead", "applied"].map(|outcome| only(&tries, outcome, |s| s.attribute("outcome") == outcome));
    assert_eq!(applied.links, [(TRACE.to_owned(), died.id.clone())]);
    assert_eq!(applied.parent, died.parent);
}

/// A delivery that came while Kafka was away, and that the next process sends.
#[tokio::test]
async fn what_lay_in_the_spool_is_sent_in_its_trace() {
    let collector = Collector::start().await;
    let sandbox = Sandbox::new("trace-spool").await;
    let mut env = sandbox.env(NO_STRIPE);
    env.extend(collector.env().map(|(name, value)| (name.to_owned(), value.to_owned())));
    let mut lonely = env.clone();
    lonely.insert("KAFKA_BROKERS".to_owned(), "127.0.0.1:9".to_owned());
    let ingest = Service::spawn(Binary::Ingest, &lonely);
    let invitee = Invitee::random();
    eventually(PATIENCE, "the delivery to be spooled", async || {
        delivered_within_a_trace(&sandbox, &invitee).await.then_some(())
    })
    .await;
    ingest.sigterm();
    ingest.wait_exit(PATIENCE).await;
    let _ingest = Service::spawn(Binary::Ingest, &env);
    let topic = sandbox.topic("calendly.events");
    let records = wait_for(sandbox.brokers(), &topic, PATIENCE, |found| !found.is_empty()).await;
    // The try that was given up for the spool has no offset.
    let arrived = |span: &Span| span.name == "publish" && !span.attribute("messaging.kafka.offset").is_empty();
    let spans = eventually(PATIENCE, "the whole trace", async || {
        let spans = collector.trace(TRACE);
        spans.iter().any(arrived).then_some(spans)
    })
    .await;
    let webhook = only(&spans, "the request", |span| span.attribute("outcome") == "spooled");
    only(&spans, "the wait for the disk", named("spool", webhook));
    let sent = only(&spans, "the record's way", arrived);
    assert_eq!((&sent.parent, sent.attribute("messaging.destination.name")), (&webhook.id, topic.as_str()));
    assert_eq!(records[0].header("traceparent"), Some(format!("00-{TRACE}-{}-01", webhook.id).as_str()));
}
