//! Outages of Kafka and deaths of ingest under load: a delivery that was answered with 200 is on the topic afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tests::calendly::{Invitee, Sender};
use tests::kafka::{Isolation, Kafka, Message, read_all};
use tests::process::{Signal, send};
use tests::sandbox::{CALENDLY_SIGNING_KEY, Env, NO_STRIPE};
use tests::{Binary, Sandbox, Service, eventually, rundir, shared};

use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

use crate::world::PATIENCE;

/// Unoptimised code on a machine that runs other tests as well takes less.
const PER_SECOND: u32 = if cfg!(debug_assertions) { 100 } else { 500 };
const NOBODY: &str = "127.0.0.1:9";

/// Deliveries at a steady rate, whatever becomes of them.
struct Load {
    answers: Arc<Mutex<Vec<Answer>>>,
    stop: oneshot::Sender<()>,
    sending: JoinHandle<()>,
}

#[derive(Clone)]
struct Answer {
    event_id: String,
    status: Option<u16>,
    took: Duration,
}

impl Load {
    fn start(url: &str) -> Self {
        let answers = Arc::new(Mutex::new(Vec::new()));
        let sender = Sender::new(&format!("{url}/webhooks/calendly"), CALENDLY_SIGNING_KEY);
        let all = answers.clone();
        let (stop, mut stopped) = oneshot::channel();
        let sending = tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_secs(1) / PER_SECOND);
            let mut under_way = JoinSet::new();
            loop {
                tokio::select! {
                    _ = &mut stopped => break,
                    _ = tick.tick() => {}
                }
                let (sender, all) = (sender.clone(), all.clone());
                under_way.spawn(async move {
                    let body = Invitee::random().created().body();
                    let event_id = schemas::calendly::Delivery::parse(&body).unwrap().event_id().to_string();
                    let started = Instant::now();
                    let status = sender.send(body).await.ok().map(|(status, _)| status);
                    all.lock().unwrap().push(Answer { event_id, status, took: started.elapsed() });
                });
            }
            under_way.join_all().await;
        });
        Self { answers, stop, sending }
    }

    /// Stops, and waits for what is under way.
    async fn stop(self) -> Vec<Answer> {
        let _ = self.stop.send(());
        tokio::time::timeout(PATIENCE, self.sending).await.expect("every delivery is answered").unwrap();
        self.answers.lock().unwrap().clone()
    }
}

fn accepted(answers: &[Answer]) -> BTreeSet<String> {
    answers.iter().filter(|answer| answer.status == Some(200)).map(|answer| answer.event_id.clone()).collect()
}

fn p99(answers: &[Answer]) -> Duration {
    let mut took: Vec<_> = answers.iter().map(|answer| answer.took).collect();
    took.sort_unstable();
    took[took.len() * 99 / 100]
}

fn ids(records: &[Message]) -> BTreeSet<String> {
    records.iter().map(|record| record.header("event-id").expect("every record has an id").to_owned()).collect()
}

async fn spool_is_empty(ingest: &Service) {
    eventually(PATIENCE, "the spool to be empty", async || {
        (ingest.metrics().await.sum("spool_records", &[]) == 0.0).then_some(())
    })
    .await;
}

/// A broker of the test's own, and ingest's environment.
async fn with_own_kafka(name: &str) -> (Arc<Kafka>, Sandbox, Env) {
    let dir = rundir::fresh(name);
    let kafka = tokio::task::spawn_blocking(move || Kafka::start(&dir)).await.unwrap();
    let database_url = tokio::task::spawn_blocking(|| shared::shared().database_url.clone()).await.unwrap();
    let sandbox = Sandbox::on(name, kafka.brokers(), &database_url).await;
    let env = sandbox.env(NO_STRIPE);
    (Arc::new(kafka), sandbox, env)
}

async fn blocking(kafka: &Arc<Kafka>, work: fn(&Kafka)) {
    let kafka = kafka.clone();
    tokio::task::spawn_blocking(move || work(&kafka)).await.unwrap();
}

async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_while_kafka_is_killed_frozen_and_stopped() {
    let (kafka, sandbox, env) = with_own_kafka("outages").await;
    let ingest = Service::spawn(Binary::Ingest, &env);
    ingest.wait_ready(PATIENCE).await;
    let load = Load::start(&sandbox.ingest_url());
    seconds(1).await;
    blocking(&kafka, Kafka::kill).await;
    seconds(2).await;
    // It takes deliveries, so it is ready, and says how.
    let (status, body) = eventually(PATIENCE, "the outage to be noticed", async || {
        let ready = ingest.ready().await?;
        (ready.1["checks"]["kafka"]["status"] == "degraded").then_some(ready)
    })
    .await;
    assert_eq!((status, body["checks"]["spool"]["status"].as_str()), (200, Some("up")), "{body}");
    assert!(body["checks"]["spool"]["records"].as_u64().unwrap() > 0, "{body}");
    assert!(body["checks"]["spool"]["bytes"].as_u64().unwrap() > 0, "{body}");
    blocking(&kafka, Kafka::restart).await;
    seconds(2).await;
    kafka.freeze();
    seconds(4).await;
    kafka.thaw();
    seconds(2).await;
    blocking(&kafka, Kafka::stop).await;
    seconds(1).await;
    blocking(&kafka, Kafka::restart).await;
    let answers = load.stop().await;
    spool_is_empty(&ingest).await;

    let accepted = accepted(&answers);
    assert_eq!(accepted.len(), answers.len(), "every delivery is taken");
    let records = read_all(sandbox.brokers(), &sandbox.topic("calendly.events"), Isolation::Committed).await;
    let missing: Vec<_> = accepted.difference(&ids(&records)).cloned().collect();
    assert!(missing.is_empty(), "{} of {} are lost: {missing:?}", missing.len(), accepted.len());
    let p99 = p99(&answers);
    assert!(p99 < Duration::from_secs(1), "{p99:?}");
    let metrics = ingest.metrics().await;
    assert!(metrics.sum("webhook_requests_total", &[("outcome", "spooled")]) > 10.0);
    assert!(metrics.sum("webhook_requests_total", &[("outcome", "accepted")]) > 10.0);
    println!("{} deliveries, {} records, p99 {p99:?}", answers.len(), records.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_ingest_is_killed_five_times() {
    let (kafka, sandbox, env) = with_own_kafka("killed").await;
    let mut ingest = Service::spawn(Binary::Ingest, &env);
    ingest.wait_ready(PATIENCE).await;
    let load = Load::start(&sandbox.ingest_url());
    for round in 0..5 {
        // Now and then with Kafka there, and now and then while it is away and back.
        if round % 2 == 0 {
            kafka.freeze();
        }
        seconds(2).await;
        ingest.sigkill();
        ingest = Service::spawn(Binary::Ingest, &env);
        seconds(1).await;
        kafka.thaw();
    }
    let answers = load.stop().await;
    ingest.wait_ready(PATIENCE).await;
    spool_is_empty(&ingest).await;
    let accepted = accepted(&answers);
    assert!(accepted.len() > 100, "{}", accepted.len());
    let records = read_all(sandbox.brokers(), &sandbox.topic("calendly.events"), Isolation::Committed).await;
    let missing: Vec<_> = accepted.difference(&ids(&records)).cloned().collect();
    assert!(missing.is_empty(), "{} of {} are lost: {missing:?}", missing.len(), accepted.len());
}

async fn accepted_so_far(ingest: &Service) -> f64 {
    ingest.metrics().await.sum("webhook_requests_total", &[("outcome", "accepted")])
}

/// Kafka takes nothing for a moment, which is noticed; then deliveries reach it directly again.
async fn hiccup(kafka: &Kafka, ingest: &Service, sandbox: &Sandbox) {
    let load = Load::start(&sandbox.ingest_url());
    eventually(PATIENCE, "deliveries to reach Kafka", async || (accepted_so_far(ingest).await > 0.0).then_some(()))
        .await;
    kafka.freeze();
    let noticed = "Kafka does not take records in time";
    eventually(PATIENCE, "the hiccup to be noticed", async || ingest.stderr().contains(noticed).then_some(())).await;
    seconds(1).await;
    kafka.thaw();
    load.stop().await;
    let sender = Sender::new(&format!("{}/webhooks/calendly", sandbox.ingest_url()), CALENDLY_SIGNING_KEY);
    eventually(PATIENCE, "deliveries to reach Kafka directly again", async || {
        let before = accepted_so_far(ingest).await;
        let _ = sender.send(Invitee::random().created().body()).await.unwrap();
        (accepted_so_far(ingest).await > before).then_some(())
    })
    .await;
}

/// More entries than are under way at once, for a topic that is not there any more, lie before all others.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_arrive_does_not_keep_the_rest_from_kafka() {
    let (kafka, sandbox, mut env) = with_own_kafka("undeliverable").await;
    let mut former = env.clone();
    former.insert("KAFKA_BROKERS".to_owned(), NOBODY.to_owned());
    former.insert("TOPIC_PREFIX".to_owned(), "former.".to_owned());
    let ingest = Service::spawn(Binary::Ingest, &former);
    is_alive(&ingest).await;
    let sender = Sender::new(&format!("{}/webhooks/calendly", sandbox.ingest_url()), CALENDLY_SIGNING_KEY);
    let mut sending = JoinSet::new();
    for _ in 0..300 {
        let sender = sender.clone();
        sending.spawn(async move { sender.send(Invitee::random().created().body()).await.unwrap().0 });
    }
    assert_eq!(sending.join_all().await, [200; 300]);
    ingest.sigterm();
    assert_eq!(ingest.wait_exit(PATIENCE).await.code(), Some(0), "{}", ingest.stderr());

    let ingest = Service::spawn(Binary::Ingest, &env);
    ingest.wait_ready(PATIENCE).await;
    hiccup(&kafka, &ingest, &sandbox).await;
    eventually(PATIENCE, "all others to leave the spool", async || {
        (ingest.metrics().await.sum("spool_records", &[]) == 300.0).then_some(())
    })
    .await;
    let topic = "former.calendly.events";
    eventually(PATIENCE, "the topic to be named", async || ingest.stderr().contains(topic).then_some(())).await;
    ingest.sigterm();
    assert_eq!(ingest.wait_exit(PATIENCE).await.code(), Some(0), "{}", ingest.stderr());

    // And when they fill the spool, the deliveries themselves find Kafka again.
    env.insert("SPOOL_MAX_BYTES".to_owned(), "1000".to_owned());
    let ingest = Service::spawn(Binary::Ingest, &env);
    ingest.wait_ready(PATIENCE).await;
    hiccup(&kafka, &ingest, &sandbox).await;
    assert_eq!(ingest.metrics().await.sum("spool_records", &[]), 300.0);
    assert!(ingest.metrics().await.sum("spool_oldest_record_seconds", &[]) > 0.0);
}

/// Ingest with a Kafka that never comes, in a sandbox.
async fn without_kafka(name: &str, more: &[(&str, &str)]) -> (Sandbox, Env) {
    let sandbox = Sandbox::new(name).await;
    let mut env = sandbox.env(NO_STRIPE);
    env.insert("KAFKA_BROKERS".to_owned(), NOBODY.to_owned());
    env.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    (sandbox, env)
}

async fn is_alive(ingest: &Service) {
    eventually(PATIENCE, "ingest to be alive", async || {
        assert!(ingest.exited().is_none(), "{}", ingest.stderr());
        (ingest.admin("/healthz").await?.0 == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_full_spool_asks_senders_to_come_again() {
    let (sandbox, env) = without_kafka("full", &[("SPOOL_MAX_BYTES", "20000")]).await;
    let ingest = Service::spawn(Binary::Ingest, &env);
    is_alive(&ingest).await;
    let url = format!("{}/webhooks/calendly", sandbox.ingest_url());
    let sender = Sender::new(&url, CALENDLY_SIGNING_KEY);
    // What is unusable is kept as well as everything else.
    assert_eq!(sender.send(&b"{}"[..]).await.unwrap().0, 400);
    let mut outcomes: BTreeMap<u16, u32> = BTreeMap::new();
    for _ in 0..20 {
        *outcomes.entry(sender.send(Invitee::random().created().body()).await.unwrap().0).or_default() += 1;
    }
    assert_eq!(outcomes.keys().copied().collect::<Vec<_>>(), [200, 503], "{outcomes:?}");
    let body = Invitee::random().created().body();
    let signature = tests::calendly::Signer::new(CALENDLY_SIGNING_KEY).sign_now(&body);
    let request = tests::service::http_client().post(&url).header(tests::calendly::SIGNATURE_HEADER, signature);
    let started = Instant::now();
    let answer = request.body(body).send().await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    assert!(answer.headers().contains_key("retry-after"));
    assert_eq!(answer.text().await.unwrap(), r#"{"error":"Temporarily unavailable"}"#);
    let metrics = ingest.metrics().await;
    let bytes = metrics.sum("spool_bytes", &[]);
    assert!(bytes > 10_000.0 && bytes <= 20_000.0, "{bytes}");
    assert_eq!(metrics.sum("spool_records", &[]), f64::from(outcomes[&200] + 1));
    ingest.sigterm();
    assert_eq!(ingest.wait_exit(PATIENCE).await.code(), Some(0), "{}", ingest.stderr());
}

#[tokio::test]
async fn a_disk_without_room_is_survived() {
    let (sandbox, env) = without_kafka("disk", &[]).await;
    // A limit on the size of files behaves like a full disk: writes fail. It can be lifted from outside.
    let ingest = Service::spawn_after("trap '' XFSZ; ulimit -S -f 20000", Binary::Ingest, &env);
    is_alive(&ingest).await;
    let sender = Sender::new(&format!("{}/webhooks/calendly", sandbox.ingest_url()), CALENDLY_SIGNING_KEY);
    let large = || Invitee::random().created().set("/payload/name", "n".repeat(400_000)).body();
    let mut taken = 0;
    eventually(PATIENCE, "the disk to be full", async || {
        let status = sender.send(large()).await.unwrap().0;
        taken += u32::from(status == 200);
        (status == 503).then_some(())
    })
    .await;
    assert!(taken > 0, "{}", ingest.stderr());
    // It says so, and keeps saying so, though the file can be read.
    let until = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until {
        let (_, body) = ingest.ready().await.unwrap();
        assert_eq!(body["checks"]["spool"]["status"], "down", "{body}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    let lifted = std::process::Command::new("prlimit")
        .args(["--fsize=unlimited", "--pid", &ingest.pid().to_string()])
        .status()
        .expect("prlimit is part of util-linux");
    assert!(lifted.success());
    eventually(PATIENCE, "deliveries to be taken again", async || {
        let status = sender.send(large()).await.unwrap().0;
        taken += u32::from(status == 200);
        (status == 200).then_some(())
    })
    .await;
    assert_eq!(ingest.ready().await.unwrap().1["checks"]["spool"]["status"], "up");
    for line in ["the spool cannot be written", "the spool can be written again"] {
        assert_eq!(ingest.stderr().matches(line).count(), 1, "{}", ingest.stderr());
    }
    assert_eq!(ingest.metrics().await.sum("spool_records", &[]), f64::from(taken));

    // A second process in the same folder is told so, in one line.
    let mut second_env = env.clone();
    second_env.insert("INGEST_ADDR".to_owned(), "127.0.0.1:0".to_owned());
    let second = Service::spawn(Binary::Ingest, &second_env);
    assert_eq!(second.wait_exit(PATIENCE).await.code(), Some(64));
    let stderr = second.stderr();
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains("SPOOL_DIR") && stderr.contains("in use by another process"), "{stderr}");

    // After a kill the next process has everything.
    send(ingest.pid(), Signal::Kill);
    ingest.wait_exit(PATIENCE).await;
    let again = Service::spawn(Binary::Ingest, &env);
    is_alive(&again).await;
    eventually(PATIENCE, "the spool to be open", async || {
        (again.metrics().await.sum("spool_records", &[]) == f64::from(taken)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_damaged_spool_is_one_line_and_left_alone() {
    let (sandbox, env) = without_kafka("damaged", &[]).await;
    let dir = sandbox.dir().join("spool");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("spool.redb"), vec![7; 100_000]).unwrap();
    let ingest = Service::spawn(Binary::Ingest, &env);
    assert_eq!(ingest.wait_exit(PATIENCE).await.code(), Some(1));
    let stderr = ingest.stderr();
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains("is damaged") && stderr.contains("move it away"), "{stderr}");
    assert!(std::fs::read(dir.join("spool.redb")).unwrap() == vec![7; 100_000]);
}
