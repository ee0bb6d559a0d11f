//! Calendly's API as ingest and `calctl` need it: one client with its retries and rate limit, errors that say what to
//! do, [`ensure`], which makes the webhook subscription what it should be, and [`Backfill`], which tells what it did not
//! deliver.
//!
//! What is sent is typed strictly; what is read may have more fields, and lack those that nothing here depends on.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail loudly"))]

mod backfill;
mod client;
mod config;
mod ensure;
mod error;
mod missed;
mod objects;
mod pace;
mod pages;
mod subject;

pub use backfill::{Backfill, Looked};
pub use client::{Calendly, EventFilter};
pub use config::{ApiConfig, callback_url};
pub use ensure::{EVENTS, Ensured, Leftover, Manner, Outcome, Wish, ensure, preview, remove};
pub use error::CalendlyError;
pub use missed::{Gap, Missed};
pub use objects::{Invitee, NewSubscription, ScheduledEvent, State, Subscription, SubscriptionId, User};
pub use pages::Pages;
pub use reqwest::Url;
pub use subject::{ResourceUri, Scope, ScopeChoice, Subject};
