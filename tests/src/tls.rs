//! Certificates for servers of tests: an authority of the test's own and what it signs.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

/// A certificate authority that only one test knows.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A server's certificate and key, PEM.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// Its private key, PKCS #8.
    pub key: String,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// A new one, with a new key.
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names are no wrong names");
        // Each has a name of its own, as in life.
        let name = format!("authority {}", uuid::Uuid::new_v4());
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().expect("a key can be made");
        let pem = params.self_signed(&key).expect("a certificate can be made").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate for these host names and addresses.
    pub fn identity(&self, names: &[&str]) -> Identity {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().expect("a key can be made");
        let params = CertificateParams::new(names).expect("the names are names");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate can be made");
        Identity { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// Writes the authority's own certificate, which clients are to trust, and returns its path.
    pub fn write(&self, dir: &Path, name: &str) -> PathBuf {
        let path = dir.join(name);
        fs::write(&path, &self.pem).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
        path
    }
}
