//! TLS, for an ingest that has no proxy in front of it.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use runtime::env::{ConfigError, Env};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

const CERT: &str = "INGEST_TLS_CERT";
const KEY: &str = "INGEST_TLS_KEY";

/// What the server speaks TLS with, if it does. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tls(Arc<ArcSwapOption<ServerConfig>>);

impl Tls {
    /// Reads certificate chain and key, both or neither: PEM, or the path of a PEM file.
    pub(crate) fn from_env(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self(Arc::new(ArcSwapOption::new(read(env)?))))
    }

    /// Reads both again; connections from now on get the new ones.
    pub(crate) fn reload(&self, env: &Env) -> Result<(), ConfigError> {
        self.0.store(read(env)?);
        Ok(())
    }

    pub(super) fn acceptor(&self) -> Option<TlsAcceptor> {
        self.0.load_full().map(TlsAcceptor::from)
    }
}

fn read(env: &Env) -> Result<Option<Arc<ServerConfig>>, ConfigError> {
    let (cert, key) = match (env.optional(CERT)?, env.optional(KEY)?) {
        (None, None) => return Ok(None),
        (Some(cert), Some(key)) => (pem(CERT, cert)?, pem(KEY, key)?),
        (Some(_), None) => return Err(ConfigError::new(KEY, format!("is missing, and {CERT} is set; set both"))),
        (None, Some(_)) => return Err(ConfigError::new(CERT, format!("is missing, and {KEY} is set; set both"))),
    };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&cert)
        .collect::<Result<_, _>>()
        .map_err(|_| ConfigError::new(CERT, "is no chain of PEM certificates"))?;
    if chain.is_empty() {
        return Err(ConfigError::new(CERT, "has no PEM certificate"));
    }
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| ConfigError::new(KEY, "has no PEM private key"))?;
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
    let mut config = config.map_err(|error| ConfigError::new(KEY, format!("does not fit {CERT} ({error})")))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Some(Arc::new(config)))
}

fn pem(variable: &'static str, value: String) -> Result<Vec<u8>, ConfigError> {
    if value.trim_start().starts_with("-----BEGIN ") {
        return Ok(value.into_bytes());
    }
    let path = value.trim();
    std::fs::read(path).map_err(|error| ConfigError::new(variable, format!("cannot read {path}: {}", error.kind())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(pairs: &[(&str, &str)]) -> String {
        let error = Tls::from_env(&Env::from_pairs(pairs.iter().copied())).unwrap_err();
        error.variable().to_owned()
    }

    #[test]
    fn both_or_neither_and_usable() {
        assert!(Tls::from_env(&Env::from_pairs([("A", "b")])).unwrap().acceptor().is_none());
        assert_eq!(wrong(&[(CERT, "/nowhere")]), KEY);
        assert_eq!(wrong(&[(KEY, "/nowhere")]), CERT);
        assert_eq!(wrong(&[(CERT, "/nowhere"), (KEY, "/nowhere")]), CERT);
        let pem = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----";
        assert_eq!(wrong(&[(CERT, pem), (KEY, "/nowhere")]), KEY);
        assert_eq!(wrong(&[(CERT, pem), (KEY, pem)]), KEY);
    }
}
