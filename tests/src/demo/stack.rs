//! Everything that the demo starts, and how it is stopped again.

use std::path::PathBuf;
use std::time::Duration;

use super::progress::Progress;
use crate::kafka::Kafka;
use crate::ports::free_port;
use crate::postgres::{self, Durability, Postgres};
use crate::sandbox::{Env, STRIPE_SECRET_KEY, STRIPE_WEBHOOK_SECRET, service_env};
use crate::service::{Binary, Service, run_calctl};
use crate::stripe::{Options, StripeDouble};
use crate::{rundir, within};

/// A machine that does other things as well may be slow; one that takes longer than this is stuck.
const READY_DEADLINE: Duration = Duration::from_mins(1);
/// What the contract gives a service to drain.
const DRAIN_DEADLINE: Duration = Duration::from_secs(30);
/// How often to look whether a service still runs.
const LOOK: Duration = Duration::from_millis(500);
/// The ladder, in the demo's measure.
pub(super) const RETRY_DELAYS: [(&str, Duration); 3] =
    [("1s", Duration::from_secs(1)), ("2s", Duration::from_secs(2)), ("3s", Duration::from_secs(3))];
/// Event types of this URI cost nothing.
pub(super) const FREE_EVENT_TYPE: &str = "https://api.calendly.com/event_types/00000000-0000-0000-0000-0000000000f1";

/// The running stack. The fields' order is the order in which they go when it is dropped: users before what they use.
pub(super) struct Stack {
    pub(super) ingest: Service,
    pub(super) processor: Service,
    pub(super) retrier: Service,
    pub(super) double: StripeDouble,
    pub(super) database: tokio_postgres::Client,
    pub(super) ingest_url: String,
    pub(super) env: Env,
    pub(super) dir: PathBuf,
    pub(super) postgres: Postgres,
    pub(super) kafka: Kafka,
}

impl Stack {
    /// Starts all of it; the sentence says what is missing.
    pub(super) async fn start(progress: &Progress) -> Result<Self, String> {
        check_built()?;
        progress.say("Starting Apache Kafka and PostgreSQL …");
        let kafka = async {
            let kafka = blocking(|| Kafka::start(&rundir::fresh("kafka"))).await;
            progress.say(format_args!("Apache Kafka answers on {}", kafka.brokers()));
            kafka
        };
        let postgres = async {
            let postgres = blocking(|| Postgres::start(&rundir::fresh("postgres"), Durability::Fast)).await;
            progress.say(format_args!("PostgreSQL answers on 127.0.0.1:{}", postgres.port()));
            postgres
        };
        let servers = async { tokio::join!(kafka, postgres) };
        let (kafka, postgres) = progress.waiting("Apache Kafka and PostgreSQL", servers).await;

        let database_url = postgres.create_database("calendly").await;
        let database = postgres::connect(&database_url).await;
        let (ingest_port, dir) = (free_port(), rundir::fresh("demo"));
        let ingest_url = format!("http://127.0.0.1:{ingest_port}");
        let double = start_double(&ingest_url).await;
        progress.say(format_args!("The Stripe double answers on {}", double.url()));
        let mut env = service_env(kafka.brokers(), &database_url, ingest_port, &double.url(), &dir);
        env.insert("RETRY_DELAYS".to_owned(), RETRY_DELAYS.map(|(label, _)| label).join(","));
        env.insert("RETRY_MAX_ATTEMPTS".to_owned(), RETRY_DELAYS.len().to_string());
        calctl(&["db", "migrate"], &env, progress).await?;
        calctl(&["prices", "set", FREE_EVENT_TYPE, "free"], &env, progress).await?;

        progress.say("Starting ingest, processor and retrier …");
        let [ingest, processor, retrier] =
            [Binary::Ingest, Binary::Processor, Binary::Retrier].map(|binary| Service::spawn(binary, &env));
        let ready = async |name: &str, service: &Service| {
            service.wait_ready(READY_DEADLINE).await;
            progress.say(format_args!("{name} is ready"));
        };
        let all = async {
            tokio::join!(ready("ingest", &ingest), ready("processor", &processor), ready("retrier", &retrier))
        };
        progress.waiting("the services", all).await;
        Ok(Self { ingest, processor, retrier, double, database, ingest_url, env, dir, postgres, kafka })
    }

    /// The services by name.
    pub(super) fn services(&self) -> [(&'static str, &Service); 3] {
        [("ingest", &self.ingest), ("processor", &self.processor), ("retrier", &self.retrier)]
    }

    /// Waits until a service ends, which it should not: the sentence tells of it.
    pub(super) async fn service_ended(&self) -> String {
        loop {
            for (name, service) in self.services() {
                if let Some(status) = service.exited() {
                    let log = service.stderr();
                    let last = log.lines().last().unwrap_or("nothing");
                    return format!("{name} ended with {status}; the last that it said: {last}");
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Stops all of it, the services by SIGTERM; tells which of those that still ran did not end as they should.
    pub(super) async fn stop(self) -> Vec<String> {
        let services = self.services();
        let running: Vec<_> = services.into_iter().filter(|(_, service)| service.exited().is_none()).collect();
        for (_, service) in &running {
            service.sigterm();
        }
        let mut problems = Vec::new();
        for (name, service) in running {
            match within(DRAIN_DEADLINE, async || service.exited()).await {
                Some(status) if status.success() => {}
                Some(status) => problems.push(format!("{name} ended with {status} on SIGTERM")),
                None => problems.push(format!("{name} did not end within {DRAIN_DEADLINE:?} of SIGTERM")),
            }
        }
        let Self { postgres, kafka, database, .. } = self;
        drop(database);
        tokio::join!(blocking(|| drop(postgres)), blocking(|| drop(kafka)));
        problems
    }
}

fn check_built() -> Result<(), String> {
    let binaries = [Binary::Ingest, Binary::Processor, Binary::Retrier, Binary::Calctl];
    let Some(missing) = binaries.iter().map(|binary| binary.path()).find(|path| !path.exists()) else {
        return Ok(());
    };
    let dir = rundir::profile_dir();
    // What cargo calls the profile of `target/debug`.
    let profile = dir.file_name().filter(|name| *name != "debug").map_or("dev".into(), |name| name.to_string_lossy());
    Err(format!("{} is missing; run: cargo build --profile {profile} --workspace --bins", missing.display()))
}

async fn start_double(ingest_url: &str) -> StripeDouble {
    StripeDouble::start_with(Options {
        secret_key: STRIPE_SECRET_KEY.to_owned(),
        webhook_secret: STRIPE_WEBHOOK_SECRET.to_owned(),
        webhook_url: Some(format!("{ingest_url}/webhooks/stripe")),
        ..Options::default()
    })
    .await
}

async fn calctl(args: &[&str], env: &Env, progress: &Progress) -> Result<(), String> {
    let output = run_calctl(args, env).await;
    let what = format!("calctl {}", args.join(" "));
    if !output.status.success() {
        return Err(format!("{what}: {}", String::from_utf8_lossy(&output.stderr).trim_end()));
    }
    progress.say(what);
    Ok(())
}

/// Starting and stopping servers blocks; the runtime's threads have others to serve meanwhile.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}
