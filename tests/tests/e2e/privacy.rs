//! Nothing that operators see holds personal data or a secret, at any level: logs, spans, metrics, `/readyz`, and the
//! `error` header.

use std::time::Duration;

use tests::calendly::{Invitee, SIGNATURE_HEADER, Sender, Signer};
use tests::otlp::Collector;
use tests::sandbox::{CALENDLY_SIGNING_KEY, STRIPE_SECRET_KEY, STRIPE_WEBHOOK_SECRET};
use tests::service::http_client;
use tests::stripe::{Endpoint, Fault, Injection};
use tests::{Binary, Service, eventually, run_calctl};

use crate::world::{PATIENCE, World};

const EMAIL: &str = "grace.hopper@privacy.example";
const NAME: &str = "Grace Brewster Hopper";
const ANSWER: &str = "My blood type is AB negative";
const PHONE: &str = "+1 555 0100 4711";
const DATABASE_PASSWORD: &str = "correct-horse-battery";

/// What must not be found, in lower case.
fn forbidden(world: &World, people: &[Invitee]) -> Vec<String> {
    let secrets = [CALENDLY_SIGNING_KEY, STRIPE_WEBHOOK_SECRET, STRIPE_SECRET_KEY, DATABASE_PASSWORD];
    let personal = [EMAIL, NAME, "hopper", ANSWER, PHONE, "questions_and_answers"];
    let mut all: Vec<String> = secrets.into_iter().chain(personal).map(str::to_owned).collect();
    all.extend(people.iter().map(|person| person.uri.clone()));
    all.extend(world.stripe.sessions().into_iter().map(|session| format!("/c/pay/{}", session.id)));
    all.iter().map(|text| text.to_lowercase()).collect()
}

fn assert_clean(what: &str, text: &str, forbidden: &[String]) {
    let lower = text.to_lowercase();
    for word in forbidden {
        let found = lower.lines().find(|line| line.contains(word.as_str()));
        assert_eq!(found, None, "{what} holds {word}");
    }
}

fn person() -> Invitee {
    let mut person = Invitee::random().email(EMAIL);
    NAME.clone_into(&mut person.name);
    person
}

/// A delivery with everything that people tell about themselves.
fn told(person: &Invitee) -> tests::calendly::Delivery {
    let answers = serde_json::json!([{ "question": "Anything else?", "answer": ANSWER, "position": 0 }]);
    person.created().set("/payload/questions_and_answers", answers).set("/payload/text_reminder_number", PHONE)
}

/// Booked, moved, paid, cancelled, refunded, missed, told twice.
async fn good_paths(world: &World) -> Vec<Invitee> {
    let first = person().reference("order-1");
    world.send(&told(&first)).await;
    world.send(&told(&first)).await;
    let session = world.open_session(&first).await;
    let moved = first.moved();
    let (left, created) = first.reschedule_pair(&moved);
    world.send(&created).await;
    world.send(&left).await;
    world.stripe.pay(&session).expect("an open session can be paid");
    world.booking(&moved, "CONFIRMED PAID").await;
    world.send(&moved.no_show(true)).await;
    world.send(&moved.canceled()).await;
    world.booking(&moved, "CANCELED REFUNDED").await;
    world.send(&first.created().event("invitee.celebrated")).await;
    vec![first, moved]
}

/// What ingest refuses or sets aside.
async fn refused(world: &World) {
    let sender = Sender::new(&format!("{}/webhooks/calendly", world.sandbox.ingest_url()), CALENDLY_SIGNING_KEY);
    let body = told(&person()).body();
    let now = jiff::Timestamp::now().as_second();
    let forged = Signer::new("somebody else's key").sign_now(&body);
    let stale = Signer::new(CALENDLY_SIGNING_KEY).header(now - 3600, &body);
    for header in [None, Some("t=1,v1=garbage"), Some(&forged), Some(&stale)] {
        assert_eq!(sender.send_with_header(header, body.as_slice()).await.unwrap().0, 401);
    }
    let unusable = format!(r#"{{"event":"invitee.created","payload":{{"email":"{EMAIL}","name":"{NAME}"}}}}"#);
    assert_eq!(world.send_raw(unusable.as_bytes()).await.0, 400);
    assert_eq!(world.send_raw(format!("{EMAIL} is no JSON").as_bytes()).await.0, 400);
    let large = format!(r#"{{"email":"{EMAIL}","pad":"{}"}}"#, "x".repeat(2 * 1024 * 1024));
    let header = Signer::new(CALENDLY_SIGNING_KEY).sign_now(large.as_bytes());
    // Ingest may answer and close before it has the whole body.
    let request = http_client().post(format!("{}/webhooks/calendly", world.sandbox.ingest_url()));
    let _ = request.header(SIGNATURE_HEADER, header).body(large).send().await;
}

/// Everything that can go wrong at Stripe, in the database and in a topic.
async fn failures(world: &World) -> Vec<Invitee> {
    let mut people = Vec::new();
    let faults = [
        Fault::Saved500,
        Fault::status(503),
        Fault::rate_limited(Some(0)),
        Fault::status(401),
        Fault::status(409),
        Fault::status_with_code(400, "email_invalid"),
        Fault::status_should_retry(500, false),
    ];
    for fault in faults {
        world.stripe.inject(Endpoint::CreateSession, fault);
        let person = person();
        world.send(&told(&person)).await;
        people.push(person);
    }
    // PostgreSQL takes no NUL in a text, and quotes what it refuses.
    let mut unprintable = person();
    unprintable.name.push('\0');
    world.send(&unprintable.created()).await;
    // Neither Avro nor headers that we wrote.
    let topic = world.sandbox.topic("calendly.events");
    let headers: [(&str, &[u8]); 2] = [("event-id", b"not-ours"), ("error", EMAIL.as_bytes())];
    tests::kafka::produce(world.sandbox.brokers(), &topic, Some(b"key"), EMAIL.as_bytes(), &headers).await;
    world.wait_for_records("calendly.events.dlq", 5).await;
    world.stripe.clear_faults();
    world.stripe.inject_with(Injection::on(Endpoint::CreateRefund, Fault::status_with_code(400, "charge_disputed")));
    let person = person();
    let payment = world.paid(&person).await;
    assert!(!payment.is_empty());
    world.send(&person.canceled()).await;
    world.booking(&person, "CANCELED REFUND_FAILED").await;
    people.extend([unprintable, person]);
    people
}

/// Services that cannot reach what they need: the one that spools, and the one whose database refuses it.
async fn cut_off(world: &World, env: &[(&str, &str)]) -> Vec<Service> {
    let mut lonely = world.env.clone();
    lonely.extend(env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let port = tests::ports::free_port();
    lonely.insert("KAFKA_BROKERS".to_owned(), "127.0.0.1:9".to_owned());
    lonely.insert("INGEST_ADDR".to_owned(), format!("127.0.0.1:{port}"));
    lonely.insert("SPOOL_DIR".to_owned(), world.sandbox.dir().join("lonely").display().to_string());
    let ingest = Service::spawn(Binary::Ingest, &lonely);
    let sender = Sender::new(&format!("http://127.0.0.1:{port}/webhooks/calendly"), CALENDLY_SIGNING_KEY);
    eventually(PATIENCE, "a delivery to be spooled", async || {
        let answer = sender.send(told(&person()).body()).await.ok()?;
        (answer.0 == 200).then_some(())
    })
    .await;
    let wrong = format!("postgres://calendly:{DATABASE_PASSWORD}@127.0.0.1:9/calendly");
    lonely.insert("DATABASE_URL".to_owned(), wrong);
    let processor = Service::spawn(Binary::Processor, &lonely);
    eventually(PATIENCE, "the processor to miss its database", async || {
        processor.stderr().contains("PostgreSQL is not reachable").then_some(())
    })
    .await;
    vec![ingest, processor]
}

#[tokio::test]
async fn nothing_that_operators_see_tells_who_booked() {
    let collector = Collector::start().await;
    let mut more = collector.env().to_vec();
    more.extend([("RUST_LOG", "trace"), ("RETRY_DELAYS", "100ms,200ms"), ("RETRY_MAX_ATTEMPTS", "3")]);
    let world = World::start_with("privacy", &more).await;
    let mut people = good_paths(&world).await;
    refused(&world).await;
    people.extend(failures(&world).await);
    let lonely = cut_off(&world, &more).await;

    let forbidden = forbidden(&world, &people);
    let mut services: Vec<&Service> = vec![&world.ingest, &world.processor, &world.retrier];
    services.extend(&lonely);
    for service in &services {
        for page in ["/metrics", "/readyz"] {
            let (_, text) = service.admin(page).await.expect("the admin address answers");
            assert_clean(page, &text, &forbidden);
        }
    }
    for record in world.records("calendly.events.dlq").await {
        let error = record.header("error").unwrap_or_default();
        assert_clean("the error header", error, &forbidden);
    }
    let listed = run_calctl(&["dlq", "list"], &world.env).await;
    assert_clean("dlq list", &String::from_utf8_lossy(&listed.stdout), &forbidden);
    // The last words count as well.
    for service in &services {
        service.sigterm();
    }
    for service in &services {
        service.wait_exit(Duration::from_secs(40)).await;
        assert_clean(&service.log().display().to_string(), &service.stderr(), &forbidden);
    }
    assert!(services.iter().any(|service| service.stderr().contains(r#""level":"DEBUG""#)), "debug lines are shown");
    let spans = collector.spans();
    assert!(spans.iter().any(|span| span.name == "event") && spans.iter().any(|span| span.name == "webhook"));
    for span in &spans {
        assert_clean(&span.name, &span.all, &forbidden);
    }
}
