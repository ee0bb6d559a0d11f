//! How to reach the brokers, read from the environment.

use std::str::FromStr;

use rdkafka::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use secrecy::{ExposeSecret, SecretString};

use crate::env::{ConfigError, Env};

/// The largest record that any topic of ours takes, in bytes.
///
/// A record holds the delivery byte for byte and, beside it, fields and a key that were read from it, so it can be up
/// to three times the delivery. The limit is one for all topics because a record travels through all of them unchanged.
pub const MAX_RECORD_BYTES: usize = 50 * 1024 * 1024;

/// librdkafka's `security.protocol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecurityProtocol {
    /// No encryption, no authentication.
    Plaintext,
    /// TLS.
    Ssl,
    /// SASL over plain TCP.
    SaslPlaintext,
    /// SASL over TLS.
    SaslSsl,
}

impl FromStr for SecurityProtocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "plaintext" => Ok(Self::Plaintext),
            "ssl" => Ok(Self::Ssl),
            "sasl_plaintext" => Ok(Self::SaslPlaintext),
            "sasl_ssl" => Ok(Self::SaslSsl),
            _ => Err("use plaintext, ssl, sasl_plaintext or sasl_ssl".to_owned()),
        }
    }
}

impl SecurityProtocol {
    fn as_str(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Ssl => "ssl",
            Self::SaslPlaintext => "sasl_plaintext",
            Self::SaslSsl => "sasl_ssl",
        }
    }

    fn uses_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }

    fn uses_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    /// Who sets it counts on a password or an authority that would not be asked for.
    fn leaves_unused(self, name: &'static str, instead: &str) -> ConfigError {
        let problem = format!(
            "is set and has no effect, since KAFKA_SECURITY_PROTOCOL is {}; set that to {instead}, or unset this",
            self.as_str()
        );
        ConfigError::new(name, problem)
    }
}

#[derive(Clone, Debug)]
struct Sasl {
    mechanism: String,
    username: String,
    password: SecretString,
}

/// Everything that a Kafka client of ours has to know, apart from its own role.
#[derive(Clone, Debug)]
pub struct KafkaConfig {
    /// `KAFKA_BROKERS`: comma-separated `host:port`.
    pub brokers: String,
    /// `TOPIC_PREFIX`: put before every topic, group and transactional id.
    pub prefix: String,
    /// `TOPIC_PARTITIONS`: what a topic is created with, and the least it must have.
    pub partitions: i32,
    /// `TOPIC_REPLICATION`: what a topic is created with.
    pub replication: i32,
    /// `KAFKA_CREATE_TOPICS`: whether missing topics are created at start.
    pub create_topics: bool,
    /// `KAFKA_INSTANCE_ID`: static membership and a stable transactional id, when set.
    pub instance_id: Option<String>,
    security: SecurityProtocol,
    sasl: Option<Sasl>,
    ca_location: Option<String>,
}

impl KafkaConfig {
    /// Reads the `KAFKA_*` and `TOPIC_*` variables.
    pub fn from_env(env: &Env) -> Result<Self, ConfigError> {
        let brokers = env.required("KAFKA_BROKERS")?;
        if brokers.split(',').any(|broker| !is_host_and_port(broker.trim())) {
            return Err(ConfigError::new("KAFKA_BROKERS", "must be a comma-separated list of host:port"));
        }
        let security = env.parse("KAFKA_SECURITY_PROTOCOL", SecurityProtocol::Plaintext)?;
        let config = Self {
            brokers,
            prefix: prefix(env)?,
            partitions: at_least_one(env, "TOPIC_PARTITIONS", 12)?,
            replication: at_least_one(env, "TOPIC_REPLICATION", 1)?,
            create_topics: env.parse("KAFKA_CREATE_TOPICS", true)?,
            instance_id: env.optional("KAFKA_INSTANCE_ID")?,
            security,
            sasl: sasl(env, security)?,
            ca_location: ca_location(env, security)?,
        };
        Ok(config)
    }

    /// The part of a client's configuration that does not depend on what the client is for.
    pub(crate) fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", "calendly-pipeline")
            .set("security.protocol", self.security.as_str())
            // A broker that creates topics by itself gives them its own number of partitions.
            .set("allow.auto.create.topics", "false")
            .set("reconnect.backoff.ms", "50")
            // A broker that restarts should be found again in a second, not in librdkafka's ten.
            .set("reconnect.backoff.max.ms", "1000")
            .set("retry.backoff.max.ms", "500")
            .set("socket.keepalive.enable", "true")
            .set("log.connection.close", "false");
        if let Some(sasl) = &self.sasl {
            client
                .set("sasl.mechanism", &sasl.mechanism)
                .set("sasl.username", &sasl.username)
                .set("sasl.password", sasl.password.expose_secret());
        }
        if let Some(ca) = &self.ca_location {
            client.set("ssl.ca.location", ca);
        }
        client
    }

    /// What every member of a consumer group has in common.
    pub(crate) fn group_member(&self, group: &str) -> ClientConfig {
        let mut client = self.client();
        client
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            // Releases from the retry tiers are transactions; an aborted one must not be seen.
            .set("isolation.level", "read_committed")
            .set("partition.assignment.strategy", "cooperative-sticky")
            // A service that was killed must be replaced within 30 s; librdkafka's default is 45 s.
            .set("session.timeout.ms", "10000")
            .set("heartbeat.interval.ms", "2000")
            .set("max.poll.interval.ms", "120000")
            .set("fetch.wait.max.ms", "100")
            .set("fetch.queue.backoff.ms", "20")
            .set("fetch.max.bytes", MAX_RECORD_BYTES.to_string())
            .set("receive.message.max.bytes", (2 * MAX_RECORD_BYTES + 1024 * 1024).to_string())
            .set("statistics.interval.ms", "2000");
        if let Some(instance) = &self.instance_id {
            client.set("group.instance.id", format!("{group}-{instance}"));
        }
        client
    }
}

fn is_host_and_port(broker: &str) -> bool {
    broker
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// Kafka's own rule for names, `[a-zA-Z0-9._-]`, at most 249 characters with our longest topic behind the prefix.
fn prefix(env: &Env) -> Result<String, ConfigError> {
    let prefix = env.optional("TOPIC_PREFIX")?.unwrap_or_default();
    let legal = prefix.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    if !legal || prefix.len() > 180 {
        return Err(ConfigError::new("TOPIC_PREFIX", "may hold letters, digits, '.', '_' and '-' only, 180 at most"));
    }
    Ok(prefix)
}

/// librdkafka would complain too, but without naming the variable.
fn ca_location(env: &Env, security: SecurityProtocol) -> Result<Option<String>, ConfigError> {
    const NAME: &str = "KAFKA_SSL_CA_LOCATION";
    let Some(path) = env.optional(NAME)? else { return Ok(None) };
    if !security.uses_tls() {
        return Err(security.leaves_unused(NAME, "ssl or sasl_ssl"));
    }
    let unreadable = |error: std::io::Error| ConfigError::new(NAME, format!("cannot read {path}: {}", error.kind()));
    // A folder has a file for each authority.
    if std::fs::metadata(&path).map_err(unreadable)?.is_file() {
        let pem = std::fs::read(&path).map_err(unreadable)?;
        if CertificateDer::pem_slice_iter(&pem).next().is_none_or(|first| first.is_err()) {
            return Err(ConfigError::new(NAME, format!("{path} has no PEM certificate")));
        }
    }
    Ok(Some(path))
}

fn at_least_one(env: &Env, name: &'static str, default: i32) -> Result<i32, ConfigError> {
    let number = env.parse(name, default)?;
    if number < 1 { Err(ConfigError::new(name, "must be 1 or more")) } else { Ok(number) }
}

fn sasl(env: &Env, security: SecurityProtocol) -> Result<Option<Sasl>, ConfigError> {
    if !security.uses_sasl() {
        for name in ["KAFKA_SASL_MECHANISM", "KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD"] {
            if env.optional(name)?.is_some() {
                return Err(security.leaves_unused(name, "sasl_ssl"));
            }
        }
        return Ok(None);
    }
    let mechanism = env.required("KAFKA_SASL_MECHANISM")?.to_ascii_uppercase();
    if !["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"].contains(&mechanism.as_str()) {
        return Err(ConfigError::new("KAFKA_SASL_MECHANISM", "use PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"));
    }
    Ok(Some(Sasl {
        mechanism,
        username: env.required("KAFKA_SASL_USERNAME")?,
        password: SecretString::from(env.required("KAFKA_SASL_PASSWORD")?),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(pairs: &[(&str, &str)]) -> String {
        let all = [("KAFKA_BROKERS", "localhost:9092")].iter().chain(pairs);
        KafkaConfig::from_env(&Env::from_pairs(all.copied())).map_or_else(|e| e.to_string(), |_| String::new())
    }

    #[test]
    fn what_would_protect_nothing_is_an_error() {
        for name in ["KAFKA_SASL_MECHANISM", "KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD"] {
            for protocol in ["plaintext", "ssl"] {
                let said = wrong(&[("KAFKA_SECURITY_PROTOCOL", protocol), (name, "a-secret")]);
                assert!(
                    said.starts_with(&format!("{name}: is set and has no effect")) && said.contains(protocol),
                    "{said}"
                );
                assert!(!said.contains("a-secret"), "{said}");
            }
        }
        let sasl = [
            ("KAFKA_SASL_MECHANISM", "PLAIN"),
            ("KAFKA_SASL_USERNAME", "me"),
            ("KAFKA_SASL_PASSWORD", "it"),
            ("KAFKA_SECURITY_PROTOCOL", "sasl_plaintext"),
        ];
        assert_eq!(wrong(&sasl), "");
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let said = wrong(&[&sasl[..], &[("KAFKA_SSL_CA_LOCATION", file)]].concat());
        assert!(said.starts_with("KAFKA_SSL_CA_LOCATION: is set and has no effect"), "{said}");
        let tls = |path| wrong(&[("KAFKA_SECURITY_PROTOCOL", "ssl"), ("KAFKA_SSL_CA_LOCATION", path)]);
        assert!(tls(file).ends_with("has no PEM certificate") && tls("/nowhere").contains("cannot read /nowhere"));
        assert_eq!(tls(env!("CARGO_MANIFEST_DIR")), "");
    }
}
