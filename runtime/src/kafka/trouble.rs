//! Why no broker answers, as far as librdkafka tells, and what an operator can do about it.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::client::events;
use super::config::KafkaConfig;

/// librdkafka's lines tell addresses and states; this is more than any of them has.
const LONGEST: usize = 300;
const TIMEOUT: Duration = Duration::from_secs(3);
/// The brokers let those wait whom they refuse, and the first question may be over before that.
const QUESTIONS: usize = 4;

/// What stands between us and the brokers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Nobody listens there, or not for what we speak.
    Unreachable,
    /// TLS came to nothing.
    Tls,
    /// User or password are refused.
    Credentials,
}

impl Cause {
    fn of(error: &KafkaError) -> Option<Self> {
        match error.rdkafka_error_code()? {
            RDKafkaErrorCode::SSL => Some(Self::Tls),
            RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed => Some(Self::Credentials),
            // Says no more than that the others were all.
            RDKafkaErrorCode::AllBrokersDown => None,
            _ => Some(Self::Unreachable),
        }
    }

    /// For `/readyz`.
    pub(super) fn detail(self) -> &'static str {
        match self {
            Self::Unreachable => "no broker answers",
            Self::Tls => "TLS to the brokers fails",
            Self::Credentials => "the brokers refuse user or password",
        }
    }

    fn variables(self) -> &'static str {
        match self {
            Self::Unreachable => "KAFKA_BROKERS and KAFKA_SECURITY_PROTOCOL",
            Self::Tls => "KAFKA_SSL_CA_LOCATION, KAFKA_SECURITY_PROTOCOL and the brokers' certificates",
            Self::Credentials => "KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD and KAFKA_SASL_MECHANISM",
        }
    }
}

/// A cause with librdkafka's words for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) cause: Cause,
    words: String,
}

impl Default for Trouble {
    fn default() -> Self {
        Self { cause: Cause::Unreachable, words: "no answer".to_owned() }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; check {}", self.words, self.cause.variables())
    }
}

/// Remembers the trouble that a client has.
#[derive(Default)]
pub(super) struct Ear(Mutex<Option<Trouble>>);

impl Ear {
    /// What was heard since the last question.
    pub(super) fn take(&self) -> Option<Trouble> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ClientContext for Ear {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", ?level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, reason);
        let Some(cause) = Cause::of(&error) else { return };
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // After a handshake that failed come lines about the connection that was closed.
        if cause != Cause::Unreachable || heard.is_none() {
            // What follows are timings and states.
            let reason = reason.split_once(" (after ").map_or(reason, |(words, _)| words);
            let words = reason.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect();
            *heard = Some(Trouble { cause, words });
        }
    }
}

impl ConsumerContext for Ear {}

/// Asks the brokers; what keeps them from answering, if something does. Blocks, for some seconds.
pub fn diagnose(config: &KafkaConfig) -> Option<String> {
    let client: BaseConsumer<Ear> = match config.client().create_with_context(Ear::default()) {
        Ok(client) => client,
        Err(error) => return Some(error.to_string()),
    };
    let mut trouble = None;
    for _ in 0..QUESTIONS {
        trouble = Some(ask(&client, TIMEOUT).err()?);
        if trouble.as_ref().is_some_and(|trouble| trouble.cause != Cause::Unreachable) {
            break;
        }
    }
    trouble.map(|trouble| trouble.to_string())
}

/// Whether the brokers answer this client.
pub(super) fn ask(client: &BaseConsumer<Ear>, timeout: Duration) -> Result<(), Trouble> {
    let answers = client.fetch_metadata(None, timeout).is_ok_and(|metadata| !metadata.brokers().is_empty());
    // They reach the client's ear.
    events(client).for_each(drop);
    let heard = client.context().take();
    if answers { Ok(()) } else { Err(heard.unwrap_or_default()) }
}

#[cfg(test)]
mod tests {
    use rdkafka::ClientConfig;

    use super::*;

    /// Nobody listens there.
    fn client(debug: bool) -> BaseConsumer<Ear> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", "127.0.0.1:1");
        if debug {
            config.set("debug", "all").set_log_level(RDKafkaLogLevel::Debug);
        }
        config.create_with_context(Ear::default()).unwrap()
    }

    #[test]
    fn the_reason_is_heard_behind_log_lines() {
        for debug in [false, true] {
            let trouble = ask(&client(debug), Duration::from_secs(1)).unwrap_err();
            assert_eq!(trouble.cause, Cause::Unreachable);
            assert!(trouble.words.contains("Connection refused"), "{trouble}");
        }
    }
}
