//! Bookings: the history of facts, the state that follows from it, what Stripe should hold, and all SQL.
//!
//! A booking's state is a pure function of the *set* of facts known about it ([`mod@fold`]), so the order in which
//! deliveries arrive, and how often, cannot matter. What is to be done at Stripe is the difference between that state
//! and the ledger of operations ([`mod@plan`]).

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail loudly"))]

pub mod fact;
pub mod failpoint;
pub mod fold;
pub mod plan;
pub mod price;
pub mod store;

pub use fact::{Details, Fact, FactKind, RefundStatus};
pub use fold::{Booking, PaymentStatus, Status, Turnover, fold};
pub use plan::{Operation, OperationKind, OperationState, Plan, parse_session_target, plan};
pub use price::{Price, PriceError};
