//! `calctl doctor`: is the configuration right, and does everything that the services depend on work with it?
//!
//! It only looks. All checks run at once, each with a deadline, so one that hangs neither hides nor delays the others.

mod calendly;
mod clock;
mod configuration;
mod finding;
mod ingest;
mod kafka;
mod postgres;
mod registry;
mod stripe;

use std::time::Duration;

use anyhow::bail;
use runtime::env::Env;

use self::finding::{Finding, Status, text};
use crate::output::{Printer, is_coloured};

/// For everything that a check asks. Kafka gets a little more, since its own requests end at this.
const DEADLINE: Duration = Duration::from_secs(8);
const KAFKA_DEADLINE: Duration = Duration::from_secs(10);

pub(crate) async fn run(env: &Env, printer: &Printer) -> anyhow::Result<()> {
    let configuration = configuration::check(env);
    let (kafka, registry, postgres, stripe, calendly, ingest, clock) = tokio::join!(
        within("kafka", KAFKA_DEADLINE, kafka::check(env, DEADLINE), "KAFKA_BROKERS"),
        within("schema-registry", DEADLINE, registry::check(env), "SCHEMA_REGISTRY_URL"),
        within("postgres", DEADLINE, postgres::check(env), "DATABASE_URL"),
        within("stripe", DEADLINE, stripe::check(env), "STRIPE_API_BASE"),
        within("calendly", DEADLINE, calendly::check(env), "CALENDLY_API_BASE"),
        within("ingest", DEADLINE, ingest::check(env), "PUBLIC_URL"),
        within("clock", DEADLINE, clock::check(env), "DATABASE_URL"),
    );
    let webhooks = stripe::webhooks(env);
    let all = [configuration, clock, kafka, registry, postgres, stripe, webhooks, calendly, ingest];
    let findings: Vec<Finding> = all.into_iter().flatten().collect();
    let coloured = is_coloured(env)?;
    printer.print(&findings, |findings| text(findings, coloured))?;
    match findings.iter().filter(|finding| finding.status == Status::Fail).count() {
        0 => Ok(()),
        1 => bail!("1 check failed"),
        failed => bail!("{failed} checks failed"),
    }
}

/// What the check finds, or that it found nothing in time; `variable` says where it looked.
async fn within(
    check: &'static str,
    deadline: Duration,
    findings: impl Future<Output = Vec<Finding>>,
    variable: &str,
) -> Vec<Finding> {
    let late = || {
        let detail = format!("no answer within {} s", deadline.as_secs());
        vec![Finding::fail(check, detail, format!("is it stuck, or the network on the way? Check {variable}"))]
    };
    tokio::time::timeout(deadline, findings).await.unwrap_or_else(|_| late())
}
