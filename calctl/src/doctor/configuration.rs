//! Would the services start with these variables? Their own code says so.

use ingest::ADMIN_ADDR;
use runtime::admin::Admin;
use runtime::env::{ConfigError, Env};
use runtime::telemetry;

use super::finding::Finding;
use crate::database;

const CHECK: &str = "configuration";
/// What stands in for a wrong or missing value that services cannot do without, to see what else is wrong.
const STAND_INS: [(&str, &str); 9] = [
    ("KAFKA_BROKERS", "localhost:9092"),
    ("KAFKA_SASL_MECHANISM", "PLAIN"),
    ("KAFKA_SASL_USERNAME", "user"),
    ("KAFKA_SASL_PASSWORD", "password"),
    ("CALENDLY_SIGNING_KEYS", "key"),
    ("DATABASE_URL", "postgres://localhost/bookings"),
    ("STRIPE_SECRET_KEY", "key"),
    ("CHECKOUT_SUCCESS_URL", "https://localhost/"),
    ("CHECKOUT_CANCEL_URL", "https://localhost/"),
];
/// How many signs a name may be off to be taken for a slip of the pen.
const SLIP: usize = 2;

pub(super) fn check(env: &Env) -> Vec<Finding> {
    let (wrong, known) = (wrong(env), env.asked());
    let mut findings: Vec<Finding> = wrong.iter().map(finding).collect();
    if findings.is_empty() {
        findings.push(Finding::ok(CHECK, "ingest, processor and retrier would start with it"));
    }
    for name in env.names().filter(|name| !known.contains(*name)) {
        let near = |candidate: &&String| strsim::osa_distance(name, candidate) <= SLIP;
        if let Some(meant) = known.iter().filter(|candidate| candidate.len() > 2 * SLIP).find(near) {
            findings.push(Finding::warn(CHECK, format!("{name} is read by nothing"), format!("did you mean {meant}?")));
        }
    }
    findings
}

/// All that is wrong: whenever something is, a value that will do takes its place, and reading begins anew.
fn wrong(env: &Env) -> Vec<ConfigError> {
    let (mut wrong, mut patched): (Vec<ConfigError>, Env) = (Vec::new(), env.clone());
    while let Err(error) = read(&patched) {
        if wrong.iter().any(|known| known.variable() == error.variable()) {
            break;
        }
        let name = error.variable().trim_end_matches("_FILE");
        let stand_in = STAND_INS.iter().find(|(variable, _)| *variable == name).map(|(_, value)| *value);
        patched = patched.with(name, stand_in);
        wrong.push(error);
    }
    wrong
}

/// Everything that the services read. The retrier has nothing that the others do not.
fn read(env: &Env) -> Result<(), ConfigError> {
    ingest::Config::from_env(env)?;
    processor::Config::from_env(env)?;
    database::store(env)?;
    Admin::from_env(env, ADMIN_ADDR)?;
    telemetry::check(env)
}

fn finding(error: &ConfigError) -> Finding {
    Finding::fail_of(CHECK, &error.to_string(), "README, Configuration, has all variables")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Status;

    fn findings(pairs: &[(&str, &str)]) -> Vec<String> {
        let right = STAND_INS.iter().filter(|(name, _)| !name.starts_with("KAFKA_SASL"));
        let env = Env::from_pairs(right.chain(pairs).copied());
        check(&env).iter().map(|finding| format!("{:?} {}", finding.status, finding.detail)).collect()
    }

    #[test]
    fn every_wrong_variable_is_told_of_at_once() {
        assert_eq!(findings(&[]), ["Ok ingest, processor and retrier would start with it"]);
        let wrong = [
            ("KAFKA_BROKERS", " "),
            ("DATABASE_URL", "mysql://secret"),
            ("WEBHOOK_TOLERANCE", "180"),
            ("RETRY_DELAYS", "1m,5"),
            ("CHECKOUT_TTL", "1m"),
            ("ADMIN_ADDR", "9464"),
            ("LOG_FORMAT", "xml"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector"),
            ("SCHEMA_REGISTRY_URL", "registry"),
            ("STRIPE_SECRET_KEY_FILE", "/nowhere"),
        ];
        let found = findings(&wrong);
        for (variable, _) in wrong {
            let name = variable.trim_end_matches("_FILE");
            assert!(found.iter().any(|line| line.starts_with(&format!("Fail {name}"))), "{variable}: {found:?}");
        }
        assert_eq!(found.len(), wrong.len(), "{found:?}");
        assert!(!found.concat().contains("secret"), "{found:?}");
    }

    #[test]
    fn a_slip_of_the_pen_is_noticed_and_others_variables_are_not() {
        let pairs = [
            ("CALENDLY_SIGNING_KEY", "x"),
            ("STRIPE_WEBHOOK_SECRET_FILE", "/x"),
            ("KAFKA_PORT", "tcp://1"),
            ("STRIPE_PUBLISHABLE_KEY", "pk"),
            ("PATH", "/bin"),
        ];
        let env = Env::from_pairs(pairs);
        let mut warned: Vec<_> = check(&env).into_iter().filter(|finding| finding.status == Status::Warn).collect();
        warned.sort_by(|a, b| a.detail.cmp(&b.detail));
        let told: Vec<_> = warned.iter().map(|w| (w.detail.as_str(), w.advice.as_deref().unwrap())).collect();
        let expected = [
            ("CALENDLY_SIGNING_KEY is read by nothing", "did you mean CALENDLY_SIGNING_KEYS?"),
            ("STRIPE_WEBHOOK_SECRET_FILE is read by nothing", "did you mean STRIPE_WEBHOOK_SECRETS_FILE?"),
        ];
        assert_eq!(told, expected);
    }
}
