//! What clients that are slow, many or wrong can cost, and keys and certificates that change.

use std::time::{Duration, Instant};

use tests::calendly::{Invitee, SIGNATURE_HEADER, Sender, Signer};
use tests::process::{Signal, send};
use tests::sandbox::{CALENDLY_SIGNING_KEY, NO_STRIPE};
use tests::{Binary, Sandbox, Service, eventually};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::world::PATIENCE;

struct Front {
    sandbox: Sandbox,
    ingest: Service,
}

impl Front {
    /// Ingest alone.
    async fn start(name: &str, more: &[(&str, &str)]) -> Self {
        let sandbox = Sandbox::new(name).await;
        let mut env = sandbox.env(NO_STRIPE);
        env.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let ingest = Service::spawn(Binary::Ingest, &env);
        ingest.wait_ready(PATIENCE).await;
        Self { sandbox, ingest }
    }

    fn sender(&self, key: &str) -> Sender {
        Sender::new(&format!("{}/webhooks/calendly", self.sandbox.ingest_url()), key)
    }

    async fn connect(&self, bytes: &[u8]) -> TcpStream {
        let addr = self.sandbox.ingest_url().replace("http://", "");
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream
    }

    /// Time of each of `count` deliveries, one after the other.
    async fn times(&self, count: usize) -> Vec<Duration> {
        let sender = self.sender(CALENDLY_SIGNING_KEY);
        let mut times = Vec::new();
        for _ in 0..count {
            let body = Invitee::random().created().body();
            let started = Instant::now();
            assert_eq!(sender.send(body).await.unwrap().0, 200);
            times.push(started.elapsed());
        }
        times.sort_unstable();
        times
    }
}

async fn answer(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the connection is closed");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_half_sent_requests_do_not_slow_the_others_down() {
    let front = Front::start("idle", &[]).await;
    front.times(50).await;
    let alone = front.times(200).await;
    let mut half = Vec::new();
    for number in 0..2000 {
        let bytes: &[u8] = match number % 3 {
            0 => b"",
            1 => b"POST /webhooks/calendly HTTP/1.1\r\nhost: x\r\ncontent-le",
            _ => b"POST /webhooks/calendly HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n{",
        };
        half.push(front.connect(bytes).await);
    }
    let among_others = front.times(200).await;
    let (before, after) = (alone[198], among_others[198]);
    // Generous, for a machine that does other things as well: waiting in line behind them would take seconds.
    assert!(after < before * 5 + Duration::from_millis(100), "p99 was {before:?}, is {after:?}");
    // And each is told or closed within the time that it is given.
    let told = answer(half.pop().unwrap()).await;
    assert!(told.is_empty() || told.starts_with("HTTP/1.1 408"), "{told}");
    println!("p99 alone {before:?}, among half-sent requests {after:?}");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_408_and_costs_nothing() {
    let front = Front::start("slow", &[]).await;
    let half = b"POST /webhooks/calendly HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{";
    let answer = answer(front.connect(half).await).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.ends_with(r#"{"error":"Request timeout"}"#), "{answer}");
}

#[tokio::test]
async fn malformed_requests_get_no_further() {
    let front = Front::start("malformed", &[("MAX_BODY_BYTES", "5000")]).await;
    let head = "POST /webhooks/calendly HTTP/1.1\r\nhost: x\r\n";
    let long = "y".repeat(40_000);
    let cases = [
        ("\r\n\r\n\0\0".to_owned(), "400"),
        ("POST /webhooks/calendly HTTP/9.9\r\n\r\n".to_owned(), "400"),
        ("POST  /webhooks/calendly  HTTP/1.1\r\n\r\n".to_owned(), "400"),
        (format!("{head}no colon\r\n\r\n"), "400"),
        (format!("{head}content-length: x\r\n\r\n"), "400"),
        (format!("{head}content-length: -1\r\n\r\n"), "400"),
        (format!("{head}content-length: 1\r\ncontent-length: 2\r\n\r\nab"), "400"),
        (format!("{head}bad name: 1\r\n\r\n"), "400"),
        (format!("{head}x: {long}\r\n\r\n"), "431"),
        (format!("{head}content-length: 5001\r\nconnection: close\r\n\r\n{}", "x".repeat(5001)), "413"),
        (format!("{head}content-length: 9999999\r\nexpect: 100-continue\r\n\r\n"), "413"),
        (format!("{head}content-length: 2\r\nconnection: close\r\n\r\n{{}}"), "401"),
        (format!("{head}transfer-encoding: chunked\r\nconnection: close\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n"), "401"),
    ];
    for (request, status) in cases {
        let answer = answer(front.connect(request.as_bytes()).await).await;
        let shown = &request[..request.len().min(120)];
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{shown:?}: {answer}");
    }
    // The header comes in lines of a log, if at all, without its control characters.
    let sender = front.sender(CALENDLY_SIGNING_KEY);
    assert_eq!(sender.send_with_header(Some("t=1,v1=\u{85}forged"), &b"{}"[..]).await.unwrap().0, 401);
    assert!(!front.ingest.stderr().contains("forged"), "{}", front.ingest.stderr());
    for number in 0..40 {
        let header = format!("t={},v1={number:064x}", jiff::Timestamp::now().as_second());
        assert_eq!(sender.send_with_header(Some(&header), &b"{}"[..]).await.unwrap().0, 401);
    }
    for topic in ["calendly.events", "stripe.events", "calendly.events.dlq"] {
        let topic = front.sandbox.topic(topic);
        let records = tests::kafka::read_all(front.sandbox.brokers(), &topic, tests::kafka::Isolation::Uncommitted);
        assert!(records.await.is_empty(), "{topic}");
    }
}

#[tokio::test]
async fn http_2_without_tls_and_connections_that_are_kept() {
    let front = Front::start("http2", &[]).await;
    let url = format!("{}/webhooks/calendly", front.sandbox.ingest_url());
    let client = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    for _ in 0..3 {
        let body = Invitee::random().created().body();
        let signature = Signer::new(CALENDLY_SIGNING_KEY).sign_now(&body);
        let answer = client.post(&url).header(SIGNATURE_HEADER, signature).body(body).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, reqwest::Version::HTTP_2));
    }
    let mut kept = front.connect(b"GET / HTTP/1.1\r\nhost: x\r\n\r\nGET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut answers = String::new();
    while answers.matches("HTTP/1.1 404").count() < 2 {
        let mut buffer = [0; 1000];
        let read = tokio::time::timeout(PATIENCE, kept.read(&mut buffer)).await.unwrap().unwrap();
        assert!(read > 0, "{answers}");
        answers.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
}

/// A certificate for 127.0.0.1 and its key.
fn certificate() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

async fn status_over_tls(front: &Front, certificate: &str) -> Option<u16> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let trusted = reqwest::Certificate::from_pem(certificate.as_bytes()).unwrap();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([trusted]).build().unwrap();
    let url = front.sandbox.ingest_url().replace("http://", "https://") + "/webhooks/calendly";
    Some(client.post(url).body("{}").send().await.ok()?.status().as_u16())
}

#[tokio::test]
async fn keys_and_certificate_are_replaced_on_sighup() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (cert, key) = certificate();
    let (cert_path, key_path, keys_path) = (file("cert", &cert), file("key", &key), file("keys", "first\n"));
    let more = [
        ("CALENDLY_SIGNING_KEYS", ""),
        ("CALENDLY_SIGNING_KEYS_FILE", keys_path.as_str()),
        ("INGEST_TLS_CERT", &cert_path),
        ("INGEST_TLS_KEY", &key_path),
    ];
    let front = Front::start("sighup", &more).await;
    assert_eq!(status_over_tls(&front, &cert).await, Some(401));
    assert_eq!(status_over_tls(&front, &certificate().0).await, None, "another certificate is not trusted");

    let (next_cert, next_key) = certificate();
    file("cert", &next_cert);
    file("key", &next_key);
    file("keys", "second,first\n");
    assert!(send(front.ingest.pid(), Signal::Hup));
    eventually(PATIENCE, "the new certificate", async || {
        (status_over_tls(&front, &next_cert).await == Some(401)).then_some(())
    })
    .await;

    // What is wrong changes nothing.
    file("keys", "\n");
    assert!(send(front.ingest.pid(), Signal::Hup));
    eventually(PATIENCE, "the refusal", async || {
        front.ingest.stderr().contains("SIGHUP: nothing is changed").then_some(())
    })
    .await;
    assert_eq!(status_over_tls(&front, &next_cert).await, Some(401));
    assert!(!front.ingest.stderr().contains("second"), "keys are not logged");
}

#[tokio::test]
async fn a_rotation_can_be_watched_by_the_position_of_the_key() {
    let front = Front::start("rotation", &[("CALENDLY_SIGNING_KEYS", "new,old")]).await;
    for key in ["old", "old", "new"] {
        assert_eq!(front.sender(key).send(Invitee::random().created().body()).await.unwrap().0, 200);
    }
    let metrics = front.ingest.metrics().await;
    let matches =
        |position| metrics.sum("webhook_key_matches_total", &[("source", "calendly"), ("position", position)]);
    assert_eq!((matches("1"), matches("2")), (1.0, 2.0));
}
