//! Stripe's API, as far as we use it: Checkout sessions and refunds.

mod client;
mod error;
mod objects;

pub(crate) use client::REQUEST_TIMEOUT;
pub use client::{OPERATIONS, STRIPE_VERSION, Stripe};
pub use error::StripeError;
pub(crate) use objects::Charge;
pub use objects::{CheckoutSession, Refund, fact_status};
