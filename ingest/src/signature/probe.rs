//! Probes: requests by which an operator sees that deliveries would get through, and that never become a record.
//!
//! A probe is signed with a webhook's key, but over another text than a delivery, and in a header of its own. So its
//! signature is none of a delivery, nor the other way round, whatever a proxy does to headers.

use axum::http::HeaderMap;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

use super::header::Signatures;
use super::{Rejection, Scheme, Verifier};

/// The header that has the signature, in place of the vendor's.
pub const HEADER: &str = "calendly-pipeline-probe";
/// What ingest answers to a probe, with 200.
pub const ANSWER: &str = r#"{"probe":"ok"}"#;
/// Comes before what a delivery's signature is made of. That begins with a digit.
pub(super) const DOMAIN: &[u8] = b"probe.";

/// The value of [`HEADER`] for a probe with this body, at this time (Unix seconds).
pub fn sign(key: &SecretString, seconds: i64, body: &[u8]) -> Result<String, hmac::digest::InvalidLength> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose_secret().as_bytes())?;
    mac.update(DOMAIN);
    mac.update(format!("{seconds}.").as_bytes());
    mac.update(body);
    Ok(format!("t={seconds},v1={}", hex::encode(mac.finalize().into_bytes())))
}

impl<S: Scheme> Verifier<S> {
    /// Judges a probe; `None` when the request is none. What has a delivery's header is a delivery.
    pub fn probe(&self, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Option<Result<(), Rejection>> {
        if headers.contains_key(S::HEADER) || !headers.contains_key(HEADER) {
            return None;
        }
        let mut values = headers.get_all(HEADER).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return Some(Err(Rejection::Invalid)) };
        let signatures = Signatures::parse(value.as_bytes());
        let Some(signatures) = signatures.filter(|signatures| self.keys.have_signed_probe(signatures, body)) else {
            return Some(Err(Rejection::Invalid));
        };
        let is_off = Self::age(&signatures, now).abs() > self.tolerance();
        Some(if is_off { Err(Rejection::Stale) } else { Ok(()) })
    }
}
