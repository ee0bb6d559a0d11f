//! TLS and SCRAM to Kafka.

use std::path::Path;

use tests::calendly::{Invitee, post};
use tests::kafka::{Kafka, Secured, wait_for};
use tests::sandbox::{CALENDLY_SIGNING_KEY, Env, NO_STRIPE};
use tests::shared::shared;
use tests::tls::Authority;
use tests::{Binary, Sandbox, Service, eventually, run_calctl, rundir};

use crate::{PATIENCE, blocking};

const PASSWORD: &str = "scram-password-of-tests";

/// A broker whose certificate is for 127.0.0.1, and all that a client needs to know.
pub(crate) struct Secure {
    pub(crate) kafka: Kafka,
    pub(crate) sandbox: Sandbox,
    root: String,
    other: String,
}

impl Secure {
    pub(crate) async fn start(name: &str) -> Self {
        let dir = rundir::fresh("authorities");
        let authority = Authority::new();
        let path = |authority: &Authority, name: &str| authority.write(&dir, name).display().to_string();
        let (root, other) = (path(&authority, "ca.pem"), path(&Authority::new(), "other.pem"));
        let users = ["admin", "ingest", "processor", "retrier", "operator"].map(|user| (user, PASSWORD)).to_vec();
        let secured = Secured { identity: authority.identity(&["127.0.0.1"]), users };
        let kafka = blocking(move || Kafka::start_secured(&rundir::fresh("kafka-tls"), &secured)).await;
        let database = blocking(shared).await.database_url.clone();
        let sandbox = Sandbox::on(name, kafka.brokers(), &database).await;
        Self { kafka, sandbox, root, other }
    }

    /// Services that go through the listener for `user`. Everything is free, so no Stripe is needed.
    pub(crate) fn env_of(&self, user: &str) -> Env {
        self.env(&[
            ("KAFKA_BROKERS", &format!("127.0.0.1:{}", self.kafka.secured().sasl())),
            ("KAFKA_SECURITY_PROTOCOL", "sasl_ssl"),
            ("KAFKA_SASL_MECHANISM", "SCRAM-SHA-512"),
            ("KAFKA_SASL_USERNAME", user),
            ("KAFKA_SASL_PASSWORD", PASSWORD),
            ("KAFKA_SSL_CA_LOCATION", &self.root),
        ])
    }

    fn env(&self, more: &[(&str, &str)]) -> Env {
        let mut env = self.sandbox.env(NO_STRIPE);
        env.insert("DEFAULT_PRICE".to_owned(), "free".to_owned());
        env.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        env
    }

    /// Sends a booking in, and waits until the processor has confirmed it.
    pub(crate) async fn book(&self) {
        let invitee = Invitee::random();
        let url = format!("{}/webhooks/calendly", self.sandbox.ingest_url());
        let answer = post(&url, CALENDLY_SIGNING_KEY, invitee.created().body()).await.expect("ingest answers");
        assert_eq!(answer.0, 200, "{answer:?}");
        let database = self.sandbox.database().await;
        eventually(PATIENCE, "the booking to be confirmed", async || {
            let query = "SELECT 1 FROM bookings WHERE invitee_uri = $1 AND status = 'CONFIRMED'";
            database.query_opt(query, &[&invitee.uri]).await.unwrap()
        })
        .await;
    }
}

#[tokio::test]
async fn events_go_through_tls_and_scram() {
    let secure = Secure::start("scram").await;
    let env = secure.env_of("admin");
    let services = [Binary::Ingest, Binary::Processor, Binary::Retrier].map(|binary| Service::spawn(binary, &env));
    for service in &services {
        service.wait_ready(PATIENCE).await;
    }
    secure.book().await;
    wait_for(secure.kafka.brokers(), &secure.sandbox.topic("calendly.events"), PATIENCE, |found| found.len() == 1)
        .await;
    let listed = run_calctl(&["dlq", "list"], &env).await;
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
}

/// What is wrong, what `/readyz` says of it, and what the log names.
#[tokio::test]
async fn what_is_wrong_is_one_line_that_says_what_to_check() {
    let secure = Secure::start("wrong").await;
    let Secure { kafka, root, other, .. } = &secure;
    let (port, other_port) = (kafka.secured().ssl(), kafka.secured().sasl());
    let (by_address, by_name) = (format!("127.0.0.1:{port}"), format!("localhost:{port}"));
    let with_password = |changes: &[(&str, &str)]| {
        let mut env = secure.env_of("admin");
        env.extend(changes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        env
    };
    let tls = |brokers: &str, root: &str| {
        let pairs = [("KAFKA_BROKERS", brokers), ("KAFKA_SECURITY_PROTOCOL", "ssl"), ("KAFKA_SSL_CA_LOCATION", root)];
        secure.env(&pairs)
    };
    let plain_brokers = [("KAFKA_BROKERS", by_address.as_str())];
    let cases = [
        ("another authority", tls(&by_address, other), "TLS to the brokers fails", "KAFKA_SSL_CA_LOCATION"),
        ("another name", tls(&by_name, root), "TLS to the brokers fails", "KAFKA_SSL_CA_LOCATION"),
        ("TLS where there is none", tls(kafka.brokers(), root), "no broker answers", "KAFKA_SECURITY_PROTOCOL"),
        ("no TLS where there is", secure.env(&plain_brokers), "no broker answers", "KAFKA_SECURITY_PROTOCOL"),
        (
            "another password",
            with_password(&[("KAFKA_SASL_PASSWORD", "another")]),
            "the brokers refuse user or password",
            "KAFKA_SASL_PASSWORD",
        ),
        (
            "a mechanism that is not enabled",
            with_password(&[("KAFKA_SASL_MECHANISM", "SCRAM-SHA-256")]),
            "the brokers refuse user or password",
            "KAFKA_SASL_MECHANISM",
        ),
        (
            "a password on a port that wants none",
            with_password(&[("KAFKA_BROKERS", by_address.as_str())]),
            "",
            "KAFKA_",
        ),
    ];
    assert_ne!(port, other_port);
    let running =
        cases.map(|(what, env, detail, variable)| (what, Service::spawn(Binary::Retrier, &env), detail, variable));
    for (what, retrier, detail, variable) in &running {
        let line = "Kafka is not reachable";
        eventually(PATIENCE, format!("the warning about {what}"), async || {
            let (_, body) = retrier.ready().await?;
            let told = body["checks"]["kafka"]["detail"].as_str()?.contains(detail);
            (told && retrier.stderr().lines().any(|said| said.contains(line) && said.contains(variable))).then_some(())
        })
        .await;
        assert!(retrier.stderr().matches(line).count() <= 2, "{what}: {}", retrier.stderr());
        assert!(!retrier.stderr().contains(PASSWORD), "{what}");
    }
    let wrong = with_password(&[("KAFKA_SASL_PASSWORD", "another")]);
    let refused = run_calctl(&["topics", "apply"], &wrong).await;
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("KAFKA_SASL_PASSWORD"), "{said}");
}

#[tokio::test]
async fn an_authority_that_is_not_there_is_wrong_configuration() {
    assert!(!Path::new("/nowhere.pem").exists());
    let sandbox = Sandbox::new("no-authority").await;
    let mut env = sandbox.env(NO_STRIPE);
    env.extend(
        [("KAFKA_SECURITY_PROTOCOL", "ssl"), ("KAFKA_SSL_CA_LOCATION", "/nowhere.pem")]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    let retrier = Service::spawn(Binary::Retrier, &env);
    assert_eq!(retrier.wait_exit(PATIENCE).await.code(), Some(64));
    assert!(retrier.stderr().contains("KAFKA_SSL_CA_LOCATION: cannot read /nowhere.pem"), "{}", retrier.stderr());
}
