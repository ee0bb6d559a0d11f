//! Whether trying again can help: every error of the processor, sorted by an exhaustive match.

use bookings::store::StoreError;
use runtime::registry::RegistryError;
use schemas::CodecError;
use schemas::ladder::{ErrorClass, Failure};

use crate::breaker::{Cause, Evidence};
use crate::stripe::StripeError;

/// Why a record could not be applied. The text goes into a header, so it holds no personal data.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The record is no event that we can read.
    #[error("the record cannot be decoded: {0}")]
    Undecodable(#[from] CodecError),
    /// The record's schema is not to be had.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The event lacks something that its type must have.
    #[error("the event is unusable: {0}")]
    Unusable(&'static str),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Stripe.
    #[error(transparent)]
    Stripe(#[from] StripeError),
    /// Another process holds a Stripe operation of this booking for longer than it should take.
    #[error("another process is still busy with a Stripe operation of this booking")]
    OperationBusy,
    /// The booking's operations lead to ever new ones: a bug, stopped before it costs money.
    #[error("the booking's Stripe operations do not come to an end")]
    NoEnd,
    /// A handler panicked: a bug.
    #[error("the handler panicked")]
    Panicked,
}

impl ProcessError {
    /// What the retry ladder has to know.
    pub fn failure(&self) -> Failure {
        let class = match self {
            Self::Undecodable(_) | Self::Unusable(_) | Self::NoEnd | Self::Panicked => ErrorClass::Permanent,
            // Of the schema registry nothing is permanent: what it refuses, an operator can mend.
            Self::OperationBusy | Self::Registry(_) => ErrorClass::Transient,
            Self::Store(error) => store_class(error),
            Self::Stripe(error) => stripe_class(error),
        };
        let retry_after = match self {
            Self::Stripe(error) => error.retry_after(),
            _ => None,
        };
        Failure { class, retry_after }
    }

    /// What it says about the events that come after it.
    pub fn evidence(&self) -> Evidence {
        match self {
            Self::Undecodable(_) | Self::Unusable(_) | Self::NoEnd | Self::Panicked => Evidence::Fails(Cause::Release),
            Self::Registry(_) => Evidence::Fails(Cause::Registry),
            Self::OperationBusy => Evidence::Nothing,
            Self::Store(error) => store_evidence(error),
            Self::Stripe(error) => stripe_evidence(error),
        }
    }
}

fn store_class(error: &StoreError) -> ErrorClass {
    match error {
        StoreError::Unavailable(_) | StoreError::Raced(_) => ErrorClass::Transient,
        // The booking's first event may still be on its way.
        StoreError::UnknownBooking(_) => ErrorClass::Dependency,
        StoreError::Refused(_) | StoreError::Corrupt(_) | StoreError::Migration(_) | StoreError::Panicked => {
            ErrorClass::Permanent
        }
    }
}

fn stripe_class(error: &StripeError) -> ErrorClass {
    match error {
        StripeError::RateLimited { .. } => ErrorClass::RateLimited,
        StripeError::Unreachable { .. }
        | StripeError::Broken { .. }
        | StripeError::Conflict { .. }
        | StripeError::KeyReused { .. }
        | StripeError::Server { .. }
        | StripeError::Unreadable { .. }
        // A wrong or revoked key is the operator's to mend: the events must not pile up in the DLQ meanwhile.
        | StripeError::Credentials { .. } => ErrorClass::Transient,
        StripeError::Refused { .. } | StripeError::GaveUp { .. } => ErrorClass::Permanent,
    }
}

fn store_evidence(error: &StoreError) -> Evidence {
    match error {
        StoreError::Unavailable(_) => Evidence::Fails(Cause::Database),
        StoreError::Raced(_) | StoreError::UnknownBooking(_) => Evidence::Nothing,
        StoreError::Refused(_) | StoreError::Corrupt(_) | StoreError::Migration(_) | StoreError::Panicked => {
            Evidence::Fails(Cause::Release)
        }
    }
}

fn stripe_evidence(error: &StripeError) -> Evidence {
    match error {
        StripeError::RateLimited { .. }
        | StripeError::Unreachable { .. }
        | StripeError::Broken { .. }
        | StripeError::Server { .. }
        | StripeError::Unreadable { .. }
        | StripeError::Credentials { .. } => Evidence::Fails(Cause::Stripe),
        StripeError::Conflict { .. } | StripeError::KeyReused { .. } => Evidence::Nothing,
        // One such answer is about one booking; the same for all is about what we ask.
        StripeError::Refused { .. } | StripeError::GaveUp { .. } => Evidence::Fails(Cause::Release),
    }
}
