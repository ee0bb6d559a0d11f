//! Calendly's API as ingest and `calctl` need it: one client with its retries and rate limit, errors that say what to
//! do, and [`ensure`], which makes the webhook subscription what it should be.
//!
//! What is sent is typed strictly; what is read may have more fields, and lack those that nothing here depends on.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail loudly"))]

mod client;
mod config;
mod ensure;
mod error;
mod objects;
mod pace;
mod subject;

pub use client::{Calendly, EventFilter};
pub use config::{ApiConfig, callback_url};
pub use ensure::{EVENTS, Ensured, Leftover, Outcome, Wish, ensure, preview};
pub use error::CalendlyError;
pub use objects::{Invitee, NewSubscription, ScheduledEvent, State, Subscription, SubscriptionId, User};
pub use reqwest::Url;
pub use subject::{ResourceUri, Scope, ScopeChoice, Subject};
