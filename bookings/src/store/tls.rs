//! TLS to PostgreSQL: whose certificates count, and for whom.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::UrlError;

/// Whose signature makes a certificate good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Authority {
    /// The authorities that the machine trusts.
    System,
    /// Those of a PEM file.
    File(PathBuf),
}

impl Authority {
    /// As `sslrootcert` names it.
    pub(super) fn named(name: &str) -> Self {
        if name == "system" { Self::System } else { Self::File(name.into()) }
    }

    fn roots(&self) -> Result<RootCertStore, UrlError> {
        let mut roots = RootCertStore::empty();
        let found = match self {
            Self::System => rustls_native_certs::load_native_certs().certs,
            Self::File(path) => read_certificates(path)?,
        };
        let (usable, _) = roots.add_parsable_certificates(found);
        match (usable, self) {
            (0, Self::System) => Err(UrlError::NoSystemRoots),
            (0, Self::File(path)) => Err(UrlError::NoRoot(path.clone())),
            _ => Ok(roots),
        }
    }
}

fn read_certificates(path: &PathBuf) -> Result<Vec<CertificateDer<'static>>, UrlError> {
    let pem = std::fs::read(path).map_err(|error| UrlError::Unreadable(path.clone(), error.kind()))?;
    CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|_| UrlError::NoRoot(path.clone()))
}

/// What the server has to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// Any certificate: keeps out who only listens.
    Anyone,
    /// One of a trusted authority, for whatever host.
    Chain(Authority),
    /// One of a trusted authority, for the host that we asked for.
    ChainAndName(Authority),
}

impl Trust {
    /// What connections are made with.
    pub(super) fn connector(&self) -> Result<MakeRustlsConnect, UrlError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let signatures = provider.signature_verification_algorithms;
        let verifier: Arc<dyn ServerCertVerifier> = match self {
            Self::Anyone => Arc::new(Lenient { signatures, chain: None }),
            Self::Chain(authority) => Arc::new(Lenient { signatures, chain: Some(verifier(authority, &provider)?) }),
            Self::ChainAndName(authority) => verifier(authority, &provider)?,
        };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| UrlError::Tls(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        Ok(MakeRustlsConnect::new(config))
    }
}

fn verifier(authority: &Authority, provider: &Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>, UrlError> {
    let roots = Arc::new(authority.roots()?);
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider.clone()).build();
    verifier.map_err(|error| UrlError::Tls(error.to_string()))
}

/// Less than all of it: the handshake must be sound, and nobody is asked for a name.
#[derive(Debug)]
struct Lenient {
    signatures: WebPkiSupportedAlgorithms,
    /// `sslmode=verify-ca`. Without it the certificate may be anyone's.
    chain: Option<Arc<WebPkiServerVerifier>>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        match chain.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            // The name is what is checked last.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.signatures)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.signatures)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signatures.supported_schemes()
    }
}
