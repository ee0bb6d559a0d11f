//! Signatures. Raw bytes become a [`Verified`] delivery here, and only that can be published.
//!
//! Calendly and Stripe sign alike: `t=<unix seconds>,v1=<hex>`, where `v1` is the HMAC-SHA256 of `t`, a dot and the raw
//! body. They differ in the header's name.

mod header;

use std::marker::PhantomData;
use std::time::Duration;

use axum::http::HeaderMap;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

use self::header::Signatures;
use crate::config::LateDeliveries;

/// Whose signature it is.
pub trait Scheme: Send + Sync + 'static {
    /// The header that has the signature.
    const HEADER: &'static str;
    /// The `source` label of the metrics.
    const SOURCE: &'static str;
}

/// Calendly's webhooks.
#[derive(Debug)]
pub struct Calendly;

impl Scheme for Calendly {
    const HEADER: &'static str = "calendly-webhook-signature";
    const SOURCE: &'static str = "calendly";
}

/// Stripe's webhooks.
#[derive(Debug)]
pub struct Stripe;

impl Scheme for Stripe {
    const HEADER: &'static str = "stripe-signature";
    const SOURCE: &'static str = "stripe";
}

/// A body that its sender has signed. There is no other way to make one than [`Verifier::verify`].
#[derive(Debug)]
pub struct Verified<S> {
    body: Bytes,
    is_late: bool,
    scheme: PhantomData<S>,
}

impl<S> Verified<S> {
    /// The body, byte for byte.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Older than the tolerance, and taken all the same.
    pub fn is_late(&self) -> bool {
        self.is_late
    }
}

/// Why a delivery is refused. The sender is told neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// Missing, malformed or wrong.
    Invalid,
    /// Authentic, but outside the tolerance.
    Stale,
}

/// Checks signatures of one scheme.
pub struct Verifier<S> {
    // Keyed once: the key's own two hash blocks are not computed for every delivery.
    keys: Vec<Hmac<Sha256>>,
    tolerance: Duration,
    late: LateDeliveries,
    scheme: PhantomData<S>,
}

impl<S: Scheme> Verifier<S> {
    /// A verifier for these keys, any one of which may have signed.
    pub fn new(keys: &[SecretString], tolerance: Duration, late: LateDeliveries) -> Self {
        // HMAC takes a key of any length, so none is left out here.
        let keyed = keys.iter().filter_map(|key| Hmac::new_from_slice(key.expose_secret().as_bytes()).ok());
        Self { keys: keyed.collect(), tolerance, late, scheme: PhantomData }
    }

    /// Turns a body into a verified one.
    pub fn verify(&self, headers: &HeaderMap, body: Bytes, now: Timestamp) -> Result<Verified<S>, Rejection> {
        let mut values = headers.get_all(S::HEADER).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return Err(Rejection::Invalid) };
        let signatures = Signatures::parse(value.as_bytes()).ok_or(Rejection::Invalid)?;
        if !self.is_authentic(&signatures, &body) {
            return Err(Rejection::Invalid);
        }
        // The signature has whole seconds, so whole seconds are compared; a tolerance below one is one.
        let age = i128::from(now.as_second()) - i128::from(signatures.timestamp);
        let tolerance = i128::from(self.tolerance.as_secs().max(1));
        let is_late = age > tolerance;
        let is_early = -age > tolerance;
        if is_early || (is_late && self.late == LateDeliveries::Reject) {
            return Err(Rejection::Stale);
        }
        Ok(Verified { body, is_late, scheme: PhantomData })
    }

    /// Compares every signature with every key, in a time that does not tell how many bytes or which one matched.
    fn is_authentic(&self, signatures: &Signatures<'_>, body: &[u8]) -> bool {
        let mut matched = Choice::from(0);
        for keyed in &self.keys {
            let mut mac = keyed.clone();
            mac.update(signatures.timestamp_text.as_bytes());
            mac.update(b".");
            mac.update(body);
            let expected = mac.finalize().into_bytes();
            for given in &signatures.v1 {
                matched |= expected.as_slice().ct_eq(given);
            }
        }
        matched.into()
    }
}

#[cfg(test)]
pub(crate) mod tests;
