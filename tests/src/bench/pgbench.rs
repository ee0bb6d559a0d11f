//! The yardstick: how many bookings a second PostgreSQL takes when there is nothing before it but pgbench.

use std::fs;

use crate::postgres::Postgres;
use crate::sandbox::{NO_STRIPE, service_env};
use crate::{run_calctl, rundir};

const SCRIPT: &str = include_str!("yardstick.sql");
const CLIENTS: &str = "32";
const SECONDS: &str = "8";
/// Migrating needs none.
const NO_KAFKA: &str = "127.0.0.1:9";

/// Transactions a second, on a database of its own with our schema.
///
/// # Panics
/// When pgbench fails; with what it says.
pub(super) async fn run(postgres: &Postgres) -> f64 {
    let dir = rundir::fresh("yardstick");
    let url = postgres.create_database("yardstick").await;
    let migrated = run_calctl(&["db", "migrate"], &service_env(NO_KAFKA, &url, 1, NO_STRIPE, &dir)).await;
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    let script = dir.join("yardstick.sql");
    fs::write(&script, SCRIPT).expect("the run folder is writable");
    let mut command = tokio::process::Command::from(postgres.pgbench());
    command.args(["-n", "-M", "prepared", "-c", CLIENTS, "-j", "2", "-T", SECONDS, "-f"]).arg(&script).arg(&url);
    let output = command.output().await.expect("pgbench comes with PostgreSQL");
    let text = String::from_utf8_lossy(&output.stdout);
    let rate = text.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    rate.unwrap_or_else(|| panic!("pgbench failed: {text}{}", String::from_utf8_lossy(&output.stderr)))
}
