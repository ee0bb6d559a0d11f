#![allow(missing_docs, clippy::pedantic, clippy::too_many_lines, unused)]
use jiff::Timestamp;
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use tests::calendly::{Invitee, Sender, post};
use tests::kafka::{Isolation, Kafka, create_topic, produce, read_all};
use tests::sandbox::{CALENDLY_SIGNING_KEY, Env, NO_STRIPE};
use tests::{Binary, Sandbox, Service};

const P: Duration = Duration::from_secs(60);
fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn retry(due: Timestamp) -> Vec<(String, Vec<u8>)> {
    let now = Timestamp::now();
    [
        ("event-id", "e".to_string()),
        ("event-type", "x".into()),
        ("received-at", format!("{now:.6}")),
        ("retry-attempt", "1".into()),
        ("retry-due-at", format!("{due:.6}")),
        ("first-failed-at", format!("{now:.6}")),
        ("failed-at", format!("{now:.6}")),
        ("error-class", "transient".into()),
        ("error", "x".into()),
        ("origin-topic", "t".into()),
        ("origin-partition", "0".into()),
        ("origin-offset", "0".into()),
    ]
    .into_iter()
    .map(|(a, b)| (a.to_owned(), b.into_bytes()))
    .collect()
}
fn pr(brokers: &str) -> FutureProducer {
    ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("message.max.bytes", "100000000")
        .set("linger.ms", "5")
        .create()
        .unwrap()
}
async fn put(p: &FutureProducer, topic: &str, key: &str, value: &[u8], headers: &[(String, Vec<u8>)]) {
    let h = headers.iter().fold(OwnedHeaders::new(), |a, (k, v)| a.insert(Header { key: k, value: Some(v) }));
    p.send(FutureRecord::to(topic).key(key).payload(value).headers(h), secs(30)).await.unwrap();
}
fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(Timestamp::now().as_millisecond() + ms).unwrap()
}
async fn sleep(n: u64) {
    tokio::time::sleep(secs(n)).await
}
async fn due(s: &Sandbox) -> Vec<String> {
    read_all(s.brokers(), &s.topic("calendly.events.due"), Isolation::Committed)
        .await
        .into_iter()
        .map(|m| String::from_utf8_lossy(&m.value[..m.value.len().min(20)]).into_owned())
        .collect()
}

#[tokio::test]
async fn t1_poison() {
    let s = Sandbox::new("rk-poison").await;
    let mut env = s.env(NO_STRIPE);
    env.insert("RETRY_DELAYS".into(), "1s,20s".into());
    let r = Service::spawn(Binary::Retrier, &env);
    r.wait_ready(P).await;
    let m = r.admin("/metrics").await.unwrap().1;
    eprintln!("T1 metrics before use:\n{}", m.lines().filter(|l| !l.starts_with('#')).collect::<Vec<_>>().join("\n"));
    sleep(4).await;
    let p = pr(s.brokers());
    let t1 = s.topic("calendly.events.retry.1s");
    let t20 = s.topic("calendly.events.retry.20s");
    put(&p, &t1, "k", b"year", &retry(at(365 * 86_400_000))).await;
    put(&p, &t1, "k", b"after-year", &retry(at(1000))).await;
    put(&p, &t1, "other-1", b"other", &retry(at(1000))).await;
    put(&p, &t20, "k", b"nohdr", &[]).await;
    put(&p, &t20, "k", b"after-nohdr", &retry(at(500))).await;
    let mut g = retry(at(500));
    g.retain(|(n, _)| n != "retry-due-at");
    g.push(("retry-due-at".into(), b"garbage".to_vec()));
    put(&p, &t20, "gk", b"garbage", &g).await;
    let start = Instant::now();
    for _ in 0..9 {
        sleep(3).await;
        eprintln!("T1 {:?}: {:?}", start.elapsed(), due(&s).await);
    }
    eprintln!("T1 ready {:?}", r.ready().await);
}

#[tokio::test]
async fn t2_small_due_topic() {
    let s = Sandbox::new("rk-smalldue").await;
    create_topic(s.brokers(), &s.topic("calendly.events.due"), 3).await; // default max.message.bytes (1 MiB)
    let mut env = s.env(NO_STRIPE);
    env.insert("RETRY_DELAYS".into(), "1s,2s".into());
    let r = Service::spawn(Binary::Retrier, &env);
    r.wait_ready(P).await;
    let p = pr(s.brokers());
    let big: Vec<u8> = (0..1_500_000).map(|_| rand::random::<u8>()).collect();
    put(&p, &s.topic("calendly.events.retry.1s"), "k", &big, &retry(at(500))).await;
    sleep(3).await;
    for n in 0..20 {
        put(&p, &s.topic("calendly.events.retry.2s"), &format!("k{n}"), b"small", &retry(at(500))).await;
    }
    sleep(12).await;
    eprintln!(
        "T2 due={} ready={:?}\n{}",
        due(&s).await.len(),
        r.ready().await,
        r.stderr().lines().rev().take(4).collect::<Vec<_>>().join("\n")
    );
    let began = Instant::now();
    r.sigterm();
    let st = r.wait_exit(secs(40)).await;
    eprintln!("T2 sigterm {st:?} {:?}", began.elapsed());
}

#[tokio::test]
async fn t2b_small_tier_topic() {
    let s = Sandbox::new("rk-smalltier").await;
    for t in ["300ms", "600ms", "900ms"] {
        create_topic(s.brokers(), &s.topic(&format!("calendly.events.retry.{t}")), 3).await;
    }
    let mut env = s.env(NO_STRIPE);
    env.insert("MAX_BODY_BYTES".into(), "3000000".into());
    let i = Service::spawn(Binary::Ingest, &env);
    let c = Service::spawn(Binary::Processor, &env);
    i.wait_ready(P).await;
    c.wait_ready(P).await;
    let url = format!("{}/webhooks/calendly", s.ingest_url());
    let inv = Invitee::random();
    let body = String::from_utf8(inv.created().body()).unwrap();
    let junk: String =
        (0..700_000).map(|_| char::from(rand::random_range(b'!'..b'~'))).filter(|c| *c != '"' && *c != '\\').collect();
    let mut body = body.trim_end().to_owned();
    body.pop();
    body.push_str(&format!(",\"x\":\"{}", junk));
    while body.len() < 2600000 - 2 {
        body.push(char::from(rand::random_range(b'a'..=b'z')));
    }
    body.push_str("\"}");
    eprintln!("T2b post {} => {:?}", body.len(), post(&url, CALENDLY_SIGNING_KEY, body).await);
    sleep(20).await;
    eprintln!(
        "T2b ready={:?} metrics={}\nlog {}",
        c.ready().await.map(|x| x.0),
        c.admin("/metrics")
            .await
            .unwrap()
            .1
            .lines()
            .filter(|l| l.starts_with("consumer_lag") || l.starts_with("events_processed"))
            .collect::<Vec<_>>()
            .join(";"),
        c.stderr().lines().rev().take(4).collect::<Vec<_>>().join("\n")
    );
    let began = Instant::now();
    c.sigterm();
    let st = c.wait_exit(secs(40)).await;
    eprintln!("T2b sigterm {st:?} {:?}", began.elapsed());
}

async fn frozen(n: usize, thaw_ms: u64) {
    let s = Sandbox::new(&format!("rk-frozen{n}")).await;
    let mut env = s.env(NO_STRIPE);
    env.insert("RETRY_DELAYS".into(), "20s".into());
    let a = Service::spawn(Binary::Retrier, &env);
    let b = Service::spawn(Binary::Retrier, &env);
    a.wait_ready(P).await;
    b.wait_ready(P).await;
    sleep(6).await;
    let p = pr(s.brokers());
    let t = s.topic("calendly.events.retry.20s");
    for k in 0..200 {
        put(&p, &t, &format!("k{k}"), format!("v{k}").as_bytes(), &retry(at(16_000))).await;
    }
    sleep(2).await;
    a.freeze();
    tokio::time::sleep(Duration::from_millis(thaw_ms)).await;
    let before = due(&s).await.len();
    a.thaw();
    sleep(15).await;
    let got = due(&s).await;
    let set: BTreeSet<_> = got.iter().collect();
    eprintln!(
        "T3.{n} thaw {thaw_ms}: before thaw {before} total {} unique {}; A: {}",
        got.len(),
        set.len(),
        a.stderr()
            .lines()
            .filter(|l| l.contains("WARN") || l.contains("ERROR"))
            .map(|l| l.chars().take(300).collect::<String>())
            .collect::<Vec<_>>()
            .join(" | ")
    );
}
#[tokio::test]
async fn t3_frozen_a() {
    frozen(0, 16_000).await
}
#[tokio::test]
async fn t3_frozen_b() {
    frozen(1, 18_000).await
}
#[tokio::test]
async fn t3_frozen_c() {
    frozen(2, 22_000).await
}

#[tokio::test(flavor = "multi_thread")]
async fn t4_sigterm_without_kafka() {
    let stack = tokio::task::spawn_blocking(|| Kafka::start(&tests::rundir::fresh("rkkafka"))).await.unwrap();
    let base = Sandbox::new("rk-sigterm-db").await;
    for mode in ["freeze", "kill"] {
        let mut env = base.env(NO_STRIPE);
        env.insert("KAFKA_BROKERS".into(), stack.brokers().into());
        env.insert("TOPIC_PREFIX".into(), format!("{mode}."));
        env.insert("RETRY_DELAYS".into(), "2s,5s".into());
        let i = Service::spawn(Binary::Ingest, &env);
        let c = Service::spawn(Binary::Processor, &env);
        let r = Service::spawn(Binary::Retrier, &env);
        for x in [&i, &c, &r] {
            x.wait_ready(P).await;
        }
        let sender = Sender::new(&format!("{}/webhooks/calendly", base.ingest_url()), CALENDLY_SIGNING_KEY);
        sleep(4).await;
        for _ in 0..30 {
            let _ = sender.send(Invitee::random().created().body()).await;
        }
        // now records sit in the 2s tier or are being relayed
        sleep(1).await;
        if mode == "freeze" {
            stack.freeze()
        } else {
            stack.kill()
        }
        let t = Instant::now();
        let ans = sender.send(Invitee::random().created().body()).await;
        eprintln!("T4 {mode} ingest answers {ans:?} in {:?}", t.elapsed());
        sleep(5).await;
        for (n, x) in [("i", &i), ("c", &c), ("r", &r)] {
            eprintln!("T4 {mode} {n} ready {:?}", x.ready().await.map(|x| x.0));
        }
        let t = Instant::now();
        for x in [&i, &c, &r] {
            x.sigterm();
        }
        let mut left: Vec<_> = vec![("ingest", &i), ("processor", &c), ("retrier", &r)];
        while !left.is_empty() && t.elapsed() < secs(60) {
            left.retain(|(n, x)| {
                if let Some(st) = x.exited() {
                    eprintln!(
                        "T4 {mode} {n} exit {:?} after {:?}: {}",
                        st.code(),
                        t.elapsed(),
                        x.stderr().lines().last().unwrap_or("")
                    );
                    false
                } else {
                    true
                }
            });
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        eprintln!("T4 {mode} still alive {:?}", left.iter().map(|x| x.0).collect::<Vec<_>>());
        if mode == "freeze" {
            stack.thaw()
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn t5_roll_processors() {
    let s = Sandbox::new("rk-roll").await;
    let mut env = s.env(NO_STRIPE);
    env.insert("DEFAULT_PRICE".into(), "free".into());
    env.insert("PROCESSOR_CONCURRENCY".into(), "2".into());
    env.insert("RUST_LOG".into(), "trace".into());
    let i = Service::spawn(Binary::Ingest, &env);
    let a = Service::spawn(Binary::Processor, &env);
    i.wait_ready(P).await;
    a.wait_ready(P).await;
    let m = a.admin("/metrics").await.unwrap().1;
    eprintln!(
        "T5 processor metrics before use:\n{}",
        m.lines().filter(|l| !l.starts_with('#') && !l.contains("_bucket")).take(80).collect::<Vec<_>>().join("\n")
    );
    let m = i.admin("/metrics").await.unwrap().1;
    eprintln!(
        "T5 ingest metrics before use:\n{}",
        m.lines().filter(|l| !l.starts_with('#') && !l.contains("_bucket")).collect::<Vec<_>>().join("\n")
    );
    let sender = Sender::new(&format!("{}/webhooks/calendly", s.ingest_url()), CALENDLY_SIGNING_KEY);
    let feed = tokio::spawn({
        let sender = sender.clone();
        async move {
            let mut ok = 0;
            for n in 0..2500u64 {
                let r = sender.send(Invitee::new(n).created().body()).await;
                if matches!(r, Ok((200, _))) {
                    ok += 1
                }
            }
            ok
        }
    });
    sleep(3).await;
    let b = Service::spawn(Binary::Processor, &env);
    sleep(5).await;
    a.sigterm();
    let t = Instant::now();
    let st = a.wait_exit(secs(40)).await;
    eprintln!("T5 A exit {st:?} {:?}", t.elapsed());
    let c = Service::spawn(Binary::Processor, &env);
    sleep(5).await;
    b.sigkill();
    let ok = feed.await.unwrap();
    let db = s.database().await;
    let t = Instant::now();
    loop {
        let n: i64 = db.query_one("SELECT count(*) FROM bookings WHERE status='CONFIRMED'", &[]).await.unwrap().get(0);
        if n >= ok || t.elapsed() > secs(60) {
            eprintln!("T5 accepted {ok} bookings {n} after {:?}", t.elapsed());
            break;
        }
        sleep(1).await;
    }

    let msgs = read_all(s.brokers(), &s.topic("calendly.events"), Isolation::Committed).await;
    let have: BTreeSet<String> = db
        .query("SELECT invitee_uri FROM bookings WHERE status='CONFIRMED'", &[])
        .await
        .unwrap()
        .into_iter()
        .map(|r| r.get(0))
        .collect();
    let all: i64 = db.query_one("SELECT count(*) FROM bookings", &[]).await.unwrap().get(0);
    let uniq: BTreeSet<_> = msgs.iter().map(|m| m.key.clone().unwrap()).collect();
    let missing: Vec<_> = msgs
        .iter()
        .filter(|m| !have.contains(m.key_str().unwrap()))
        .map(|m| (m.partition, m.offset, m.header("event-id").unwrap().to_owned(), m.timestamp))
        .collect();
    eprintln!(
        "T5 topic {} unique keys {} bookings any {} missing {}: {:?}",
        msgs.len(),
        uniq.len(),
        all,
        missing.len(),
        missing.iter().map(|m| (m.0, m.1, m.3)).collect::<Vec<_>>()
    );
    for part in 0..3 {
        eprintln!("T5 p{part} end {:?}", msgs.iter().filter(|m| m.partition == part).map(|m| m.offset).max());
    }
    {
        use rdkafka::consumer::{BaseConsumer, Consumer};
        let bc: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", s.brokers())
            .set("group.id", s.topic("processor"))
            .create()
            .unwrap();
        let mut l = rdkafka::TopicPartitionList::new();
        for part in 0..3 {
            l.add_partition(&s.topic("calendly.events"), part);
        }
        eprintln!(
            "T5 committed {:?}",
            bc.committed_offsets(l, secs(10))
                .unwrap()
                .elements()
                .iter()
                .map(|e| (e.partition(), e.offset()))
                .collect::<Vec<_>>()
        );
    }
    for (n, x) in [("A", &a), ("B", &b), ("C", &c)] {
        let log = x.stderr();
        std::fs::write(format!("/tmp/T5{n}.log"), &log).unwrap();
        eprintln!(
            "T5 {n}: lines {} mentions of missing {}",
            log.lines().count(),
            missing.iter().filter(|m| log.contains(&m.2)).count()
        );
    }
    std::fs::write("/tmp/T5missing", missing.iter().map(|m| format!("{} {} {}\n", m.0, m.1, m.2)).collect::<String>())
        .unwrap();
    for t in ["300ms", "600ms", "900ms"] {
        eprintln!(
            "T5 {t} {}",
            read_all(s.brokers(), &s.topic(&format!("calendly.events.retry.{t}")), Isolation::Committed).await.len()
        );
    }
    eprintln!("T5 dlq {}", read_all(s.brokers(), &s.topic("calendly.events.dlq"), Isolation::Committed).await.len());
    // NUL in a name; hostile strings
    let mut v: serde_json::Value = serde_json::from_slice(&Invitee::new(999_999).created().body()).unwrap();
    v["payload"]["name"] = "PII\u{0}Name".into();
    let body = serde_json::to_vec(&v).unwrap();
    eprintln!("T5 NUL => {:?}", sender.send(body).await);
    sleep(4).await;
    for log in [i.stderr(), a.stderr(), c.stderr()] {
        eprintln!(
            "T5 log lines {} pii {:?} secret {:?}",
            log.lines().count(),
            log.lines().find(|l| l.contains("example.com") || l.contains("Invitee 1") || l.contains("PII")),
            log.lines().find(|l| l.contains("sk_test_of") || l.contains("signing-key-of") || l.contains("v1="))
        );
    }
    eprintln!(
        "T5 last C {}",
        c.stderr().lines().filter(|l| l.contains("ERROR") || l.contains("WARN")).take(5).collect::<Vec<_>>().join("\n")
    );
    eprintln!(
        "T5 targets {:?}",
        c.stderr()
            .lines()
            .filter_map(|l| Some(serde_json::from_str::<serde_json::Value>(l).ok()?["target"].as_str()?.to_owned()))
            .collect::<BTreeSet<_>>()
    );
    eprintln!(
        "T5 C metrics {}",
        c.admin("/metrics")
            .await
            .unwrap()
            .1
            .lines()
            .filter(|l| l.starts_with("consumer_lag") || l.starts_with("events_processed"))
            .collect::<Vec<_>>()
            .join(";")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn t6_database_stall() {
    let s = Sandbox::new("rk-dbstall").await;
    let target: std::net::SocketAddr =
        s.database_url().rsplit('@').next().unwrap().split('/').next().unwrap().parse().unwrap();
    let proxy = tests::proxy::Proxy::start(target).await;
    let mut env = s.env(NO_STRIPE);
    env.insert("DATABASE_URL".into(), s.database_url().replace(&target.to_string(), &proxy.addr().to_string()));
    env.insert("DEFAULT_PRICE".into(), "free".into());
    let i = Service::spawn(Binary::Ingest, &env);
    let c = Service::spawn(Binary::Processor, &env);
    c.wait_ready(P).await;
    i.wait_ready(P).await;
    let sender = Sender::new(&format!("{}/webhooks/calendly", s.ingest_url()), CALENDLY_SIGNING_KEY);
    sleep(4).await;
    let _ = sender.send(Invitee::random().created().body()).await;
    sleep(1).await;
    proxy.stall();
    for _ in 0..5 {
        eprintln!("T6 {:?}", sender.send(Invitee::random().created().body()).await.map(|x| x.0));
    }
    for n in 0..5 {
        sleep(6).await;
        eprintln!(
            "T6 stalled {}s ready {:?}; {}",
            (n + 1) * 6,
            c.ready().await,
            c.admin("/metrics")
                .await
                .unwrap()
                .1
                .lines()
                .filter(|l| l.starts_with("consumer_lag") || l.starts_with("events_processed"))
                .collect::<Vec<_>>()
                .join(";")
        );
    }
    let t = Instant::now();
    c.sigterm();
    let st = c.wait_exit(secs(45)).await;
    eprintln!("T6 exit {:?} after {:?}: {}", st.code(), t.elapsed(), c.stderr().lines().last().unwrap_or(""));
    let c = Service::spawn(Binary::Processor, &env);
    sleep(3).await;
    let t = Instant::now();
    c.sigterm();
    let st = c.wait_exit(secs(45)).await;
    eprintln!(
        "T6 start-stalled exit {:?} after {:?}: {}",
        st.code(),
        t.elapsed(),
        c.stderr().lines().last().unwrap_or("")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn t7_relay_kills() {
    let s = Sandbox::new("rk-kills").await;
    let mut env = s.env(NO_STRIPE);
    env.insert("RETRY_DELAYS".into(), "1s,2s".into());
    let mut a = Service::spawn(Binary::Retrier, &env);
    a.wait_ready(P).await;
    let b = Service::spawn(Binary::Retrier, &env);
    b.wait_ready(P).await;
    let t = s.topic("calendly.events.retry.2s");
    let brokers = s.brokers().to_owned();
    let feed = std::thread::spawn(move || {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async move {
            let p = pr(&brokers);
            for k in 0..3000 {
                put(&p, &t, &format!("k{}", k % 50), format!("v{k}").as_bytes(), &retry(at(2000))).await;
            }
        })
    });
    for _ in 0..3 {
        sleep(5).await;
        a.sigkill();
        a = Service::spawn(Binary::Retrier, &env);
    }
    sleep(4).await;
    b.sigterm();
    let st = b.wait_exit(secs(40)).await;
    tokio::task::spawn_blocking(move || feed.join().unwrap()).await.unwrap();
    let start = Instant::now();
    loop {
        let got = due(&s).await;
        let set: BTreeSet<_> = got.iter().collect();
        if set.len() >= 3000 || start.elapsed() > secs(50) {
            sleep(3).await;
            let got = due(&s).await;
            eprintln!("T7 b {st:?} total {} unique {} after {:?}", got.len(), set.len(), start.elapsed());
            break;
        }
        sleep(1).await;
    }
    // per key order
    let msgs = read_all(s.brokers(), &s.topic("calendly.events.due"), Isolation::Committed).await;
    let mut last: BTreeMap<Vec<u8>, i64> = BTreeMap::new();
    let mut bad = 0;
    for m in &msgs {
        let n: i64 = String::from_utf8_lossy(&m.value)[1..].parse().unwrap();
        let k = m.key.clone().unwrap();
        if last.get(&k).is_some_and(|x| *x >= n) {
            bad += 1
        }
        last.insert(k, n);
    }
    eprintln!("T7 out of order {bad}");
}

#[tokio::test]
async fn t8_partitions_lines() {
    let s = Sandbox::new("rk-parts").await;
    create_topic(s.brokers(), &s.topic("calendly.events"), 2).await;
    for b in [Binary::Ingest, Binary::Processor, Binary::Retrier] {
        let x = Service::spawn(b, &s.env(NO_STRIPE));
        let st = x.wait_exit(P).await;
        eprintln!("T8 {b:?} {:?}\n{}", st.code(), x.stderr());
    }
    let s = Sandbox::new("rk-repl").await;
    let mut env = s.env(NO_STRIPE);
    env.insert("TOPIC_REPLICATION".into(), "3".into());
    for b in [Binary::Ingest, Binary::Retrier] {
        let x = Service::spawn(b, &env);
        let st = x.wait_exit(P).await;
        eprintln!("T8 repl {b:?} {:?}\n{}", st.code(), x.stderr());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn t9_auto_create() {
    let k = tokio::task::spawn_blocking(|| {
        let d = tests::rundir::fresh("rkauto");
        let k = Kafka::start(&d);
        k.stop();
        use std::io::Write;
        writeln!(
            std::fs::OpenOptions::new().append(true).open(d.join("server.properties")).unwrap(),
            "\nauto.create.topics.enable=true\nnum.partitions=1"
        )
        .unwrap();
        k.restart();
        k
    })
    .await
    .unwrap();
    let s = Sandbox::new("rk-auto").await;
    for (n, create) in [(0, "false"), (1, "true"), (2, "true"), (3, "true"), (4, "true"), (5, "true")] {
        let mut env = s.env(NO_STRIPE);
        env.insert("KAFKA_BROKERS".into(), k.brokers().into());
        env.insert("TOPIC_PREFIX".into(), format!("a{n}."));
        env.insert("KAFKA_CREATE_TOPICS".into(), create.into());
        let i = Service::spawn(Binary::Ingest, &env);
        let sender = Sender::new(&format!("{}/webhooks/calendly", s.ingest_url()), CALENDLY_SIGNING_KEY);
        let t = Instant::now();
        let mut answers = BTreeMap::new();
        while t.elapsed() < secs(8) && i.exited().is_none() {
            if let Ok((c, _)) = sender.send(Invitee::random().created().body()).await {
                *answers.entry(c).or_insert(0) += 1;
            }
        }
        eprintln!(
            "T9 create={create} answers {answers:?} exit {:?} {}",
            i.exited().map(|x| x.code()),
            i.stderr().lines().last().unwrap_or("")
        );
        i.sigkill();
    }
}
