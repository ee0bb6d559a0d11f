//! `--healthcheck`: asks the service that runs beside it for `/readyz`. Images that hold the binary and neither a shell
//! nor curl have their health checked with it.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;

use crate::env::Env;
use crate::listen::ListenAddr;

/// Below the timeouts that container engines give a check.
const ANSWER: Duration = Duration::from_secs(3);

/// What the service says of itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) ready: bool,
    /// The body of `/readyz`, which names every dependency.
    pub(crate) body: String,
}

/// Asks the service whose `ADMIN_ADDR` is in `env` or, without one, is `default`.
pub(crate) async fn ask(env: &Env, default: &str) -> anyhow::Result<Answer> {
    let addr = ListenAddr::from_env(env, "ADMIN_ADDR", default)?;
    let url = format!("http://{}/readyz", addr.to_connect());
    // A proxy of the environment is for the way out, and this is the way in.
    let client = reqwest::Client::builder().no_proxy().timeout(ANSWER).build().context("no HTTP client")?;
    let response = client.get(&url).send().await.with_context(|| format!("no answer from {url}"))?;
    let ready = response.status().is_success();
    let body = response.text().await.with_context(|| format!("half an answer from {url}"))?;
    Ok(Answer { ready, body })
}

/// Prints the answer and turns it into the exit code: 0 ready, 1 not.
pub(crate) fn report(answer: &Answer) -> ExitCode {
    // A closed stdout is the caller's choice.
    let _ = writeln!(std::io::stdout(), "{}", answer.body);
    if answer.ready { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::Health;
    use crate::shutdown::Shutdown;

    #[tokio::test]
    async fn says_what_readyz_says() {
        crate::entry::install_crypto();
        let listener = tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let health = Health::new();
        let kafka = health.component("kafka");
        let metrics = crate::metrics::install().unwrap();
        let server = crate::admin::serve(listener, health, metrics, Shutdown::new()).unwrap();
        let env = Env::from_pairs([("ADMIN_ADDR", addr.as_str())]);

        let answer = ask(&env, "127.0.0.1:9").await.unwrap();
        assert!(!answer.ready && answer.body.contains("not checked yet"), "{answer:?}");
        kafka.up();
        assert!(ask(&env, "127.0.0.1:9").await.unwrap().ready);
        assert!(ask(&Env::from_pairs([("X", "")]), &addr).await.unwrap().ready, "the default");
        drop(server);
    }

    #[tokio::test]
    async fn nobody_there_is_an_error() {
        crate::entry::install_crypto();
        let error = ask(&Env::from_pairs([("X", "")]), "127.0.0.1:9").await.unwrap_err();
        assert_eq!(error.to_string(), "no answer from http://127.0.0.1:9/readyz");
        let wrong = ask(&Env::from_pairs([("ADMIN_ADDR", "9464")]), "127.0.0.1:9").await.unwrap_err();
        assert!(wrong.downcast_ref::<crate::env::ConfigError>().is_some(), "{wrong}");
    }
}
