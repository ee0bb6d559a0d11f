//! The keys of one sender, which can be replaced while deliveries are being verified.

use std::sync::Arc;

use arc_swap::ArcSwap;
use hmac::{Hmac, KeyInit as _, Mac as _};
use metrics::Counter;
use runtime::metrics::WEBHOOK_KEY_MATCHES;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq as _};

use super::header::Signatures;
use super::probe::DOMAIN;

/// Any one of them may have signed. Clones share them.
#[derive(Clone)]
pub struct Keys {
    source: &'static str,
    current: Arc<ArcSwap<Vec<Key>>>,
}

struct Key {
    /// Keyed once: the key's own two hash blocks are not computed for every delivery.
    mac: Hmac<Sha256>,
    /// Tells when the old key of a rotation is no longer in use.
    matches: Counter,
}

impl Keys {
    /// The keys of `source`, the label of the metrics.
    pub(super) fn new(source: &'static str, keys: &[SecretString]) -> Self {
        Self { source, current: Arc::new(ArcSwap::from_pointee(keyed(source, keys))) }
    }

    /// Takes these keys from now on; a delivery that is just being verified still finds the former ones.
    pub fn replace(&self, keys: &[SecretString]) {
        self.current.store(Arc::new(keyed(self.source, keys)));
    }

    /// Whether one of them has signed this delivery.
    pub(super) fn have_signed(&self, signatures: &Signatures<'_>, body: &[u8]) -> bool {
        let keys = self.current.load();
        let signer = signer(&keys, b"", signatures, body);
        if let Some(key) = signer {
            key.matches.increment(1);
        }
        signer.is_some()
    }

    /// The same of a probe, which is not counted: that would keep an old key in use.
    pub(super) fn have_signed_probe(&self, signatures: &Signatures<'_>, body: &[u8]) -> bool {
        signer(&self.current.load(), DOMAIN, signatures, body).is_some()
    }
}

/// Compares every signature with every key, in a time that does not tell how many bytes or which one matched.
fn signer<'k>(keys: &'k [Key], domain: &[u8], signatures: &Signatures<'_>, body: &[u8]) -> Option<&'k Key> {
    let mut signer = None;
    for key in keys {
        let mut mac = key.mac.clone();
        mac.update(domain);
        mac.update(signatures.timestamp_text.as_bytes());
        mac.update(b".");
        mac.update(body);
        let expected = mac.finalize().into_bytes();
        let matched = |matched, given: &[u8; 32]| matched | expected.as_slice().ct_eq(given);
        if signatures.v1.iter().fold(Choice::from(0), matched).into() {
            signer = signer.or(Some(key));
        }
    }
    signer
}

fn keyed(source: &'static str, keys: &[SecretString]) -> Vec<Key> {
    let keyed = keys.iter().zip(1_u32..).filter_map(|(key, position)| {
        let matches = metrics::counter!(WEBHOOK_KEY_MATCHES, "source" => source, "position" => position.to_string());
        // HMAC takes a key of any length, so none is left out here.
        Some(Key { mac: Hmac::new_from_slice(key.expose_secret().as_bytes()).ok()?, matches })
    });
    keyed.collect()
}
