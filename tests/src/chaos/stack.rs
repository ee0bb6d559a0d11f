//! What is broken: a broker, a database, a Stripe double and the services, two processors among them.

use std::sync::Mutex;
use std::time::Duration;

use crate::calendly::Sender;
use crate::kafka::Kafka;
use crate::postgres::{Durability, Postgres};
use crate::sandbox::{CALENDLY_SIGNING_KEY, Env, STRIPE_SECRET_KEY, STRIPE_WEBHOOK_SECRET, service_env};
use crate::shared;
use crate::stripe::{Options, StripeDouble};
use crate::{Binary, Service, ports, run_calctl, rundir};

const READY: Duration = Duration::from_mins(1);
/// A broker or database that is killed must not lose what it has confirmed.
const TIERS: &str = "1s,2s,5s,10s,15s";

pub(super) struct Stack {
    pub(super) sender: Sender,
    pub(super) stripe: StripeDouble,
    pub(super) services: Vec<Mutex<Service>>,
    binaries: Vec<Binary>,
    envs: Vec<Env>,
    database_url: String,
    pub(super) postgres: Postgres,
    pub(super) kafka: Kafka,
}

impl Stack {
    pub(super) async fn start() -> Self {
        let servers = tokio::task::spawn_blocking(|| shared::Stack::start(Durability::Fsync));
        let shared::Stack { kafka, postgres } = servers.await.expect("the servers start");
        let database_url = postgres.create_database("chaos").await;
        let ingest_port = ports::free_port();
        let ingest_url = format!("http://127.0.0.1:{ingest_port}");
        let stripe = StripeDouble::start_with(Options {
            secret_key: STRIPE_SECRET_KEY.to_owned(),
            webhook_url: Some(format!("{ingest_url}/webhooks/stripe")),
            webhook_secret: STRIPE_WEBHOOK_SECRET.to_owned(),
            ..Options::default()
        })
        .await;
        stripe.deliver_duplicates(1);
        stripe.shuffle(7);
        let mut env = service_env(kafka.brokers(), &database_url, ingest_port, &stripe.url(), &rundir::fresh("chaos"));
        let settings = [("DEFAULT_PRICE", "5000 usd"), ("RETRY_DELAYS", TIERS), ("RETRY_MAX_ATTEMPTS", "8")];
        env.extend(settings.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let binaries = vec![Binary::Ingest, Binary::Processor, Binary::Processor, Binary::Retrier];
        let envs: Vec<Env> = (0..binaries.len()).map(|number| own_env(&env, number)).collect();
        let services: Vec<Service> =
            binaries.iter().zip(&envs).map(|(binary, env)| Service::spawn(*binary, env)).collect();
        for service in &services {
            service.wait_ready(READY).await;
        }
        let sender = Sender::new(&format!("{ingest_url}/webhooks/calendly"), CALENDLY_SIGNING_KEY);
        let services = services.into_iter().map(Mutex::new).collect();
        Self { sender, stripe, services, binaries, envs, database_url, postgres, kafka }
    }

    /// Kills a service and starts it again, under the same name.
    pub(super) async fn replace(&self, number: usize) -> &'static str {
        let service = &self.services[number];
        service.lock().expect("nobody panics with it").sigkill();
        tokio::time::sleep(Duration::from_millis(200)).await;
        *service.lock().expect("nobody panics with it") = Service::spawn(self.binaries[number], &self.envs[number]);
        self.binaries[number].name()
    }

    /// Starts again what has ended by itself, as a supervisor would. Not while something is replaced.
    pub(super) fn supervise(&self) {
        for (number, service) in self.services.iter().enumerate() {
            let mut service = service.lock().expect("nobody panics with it");
            if let Some(status) = service.exited() {
                println!("chaos: {} ended with {status}: {}", self.binaries[number].name(), last_line(&service));
                *service = Service::spawn(self.binaries[number], &self.envs[number]);
            }
        }
    }

    pub(super) async fn database(&self) -> Option<tokio_postgres::Client> {
        let (client, connection) = tokio_postgres::connect(&self.database_url, tokio_postgres::NoTls).await.ok()?;
        tokio::spawn(connection);
        Some(client)
    }

    /// Every accepted event has been applied, and none is dead.
    pub(super) async fn audit(&self) {
        let output = run_calctl(&["audit", "--output", "json"], &self.envs[0]).await;
        let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        println!("chaos: audit: {found}");
        assert!(output.status.success(), "the audit misses events: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(found["dead"], 0, "events are dead");
    }
}

fn last_line(service: &Service) -> String {
    service.stderr().lines().last().unwrap_or_default().to_owned()
}

fn own_env(env: &Env, number: usize) -> Env {
    let mut env = env.clone();
    env.insert("KAFKA_INSTANCE_ID".to_owned(), format!("chaos-{number}"));
    env
}
