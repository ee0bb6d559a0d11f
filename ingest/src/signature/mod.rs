//! Signatures. Raw bytes become a [`Verified`] delivery here, and only that can be published.
//!
//! Calendly and Stripe sign alike: `t=<unix seconds>,v1=<hex>`, where `v1` is the HMAC-SHA256 of `t`, a dot and the raw
//! body. They differ in the header's name.

mod header;
mod keys;
pub mod probe;

use std::marker::PhantomData;
use std::time::Duration;

use axum::http::HeaderMap;
use bytes::Bytes;
use jiff::Timestamp;
use secrecy::SecretString;

use self::header::Signatures;
pub use self::keys::Keys;
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
    keys: Keys,
    tolerance: Duration,
    late: LateDeliveries,
    scheme: PhantomData<S>,
}

impl<S: Scheme> Verifier<S> {
    /// A verifier for these keys, any one of which may have signed.
    pub fn new(keys: &[SecretString], tolerance: Duration, late: LateDeliveries) -> Self {
        Self { keys: Keys::new(S::SOURCE, keys), tolerance, late, scheme: PhantomData }
    }

    /// The keys, to replace them.
    pub fn keys(&self) -> Keys {
        self.keys.clone()
    }

    /// Turns a body into a verified one.
    pub fn verify(&self, headers: &HeaderMap, body: Bytes, now: Timestamp) -> Result<Verified<S>, Rejection> {
        let mut values = headers.get_all(S::HEADER).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return Err(Rejection::Invalid) };
        let signatures = Signatures::parse(value.as_bytes()).ok_or(Rejection::Invalid)?;
        if !self.keys.have_signed(&signatures, &body) {
            return Err(Rejection::Invalid);
        }
        let (age, tolerance) = (Self::age(&signatures, now), self.tolerance());
        let is_late = age > tolerance;
        let is_early = -age > tolerance;
        if is_early || (is_late && self.late == LateDeliveries::Reject) {
            return Err(Rejection::Stale);
        }
        Ok(Verified { body, is_late, scheme: PhantomData })
    }

    /// In seconds. The signature has whole ones, so whole ones are compared.
    fn age(signatures: &Signatures<'_>, now: Timestamp) -> i128 {
        i128::from(now.as_second()) - i128::from(signatures.timestamp)
    }

    /// In seconds; below one it is one.
    fn tolerance(&self) -> i128 {
        i128::from(self.tolerance.as_secs().max(1))
    }
}

#[cfg(test)]
pub(crate) mod tests;
