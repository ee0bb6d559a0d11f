//! `calctl db`, and the way to the database for the other commands.

use bookings::Price;
use bookings::store::{CheckoutTerms, Store};
use runtime::env::{ConfigError, Env};
use secrecy::SecretString;
use serde_json::json;

use crate::output::Printer;

/// Opens the database of `DATABASE_URL`. Commands that only read or set prices plan no Checkout sessions.
pub(crate) fn open(env: &Env) -> anyhow::Result<Store> {
    Ok(store(env)?)
}

/// The same; no connection is made before it is needed, so the configuration is all that can be wrong.
pub(crate) fn store(env: &Env) -> Result<Store, ConfigError> {
    let url = SecretString::from(env.required("DATABASE_URL")?);
    Store::new(&url, 2, CheckoutTerms::default(), Price::Free)
        .map_err(|error| ConfigError::new("DATABASE_URL", error.to_string()))
}

pub(crate) async fn migrate(env: &Env, printer: &Printer) -> anyhow::Result<()> {
    let applied = open(env)?.migrate().await?;
    printer.print(&json!({ "applied": applied }), |_| match applied {
        0 => "the schema is up to date".to_owned(),
        n => format!("{n} migrations applied"),
    })
}
