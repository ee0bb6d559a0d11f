//! The client of Calendly's API and what it makes of subscriptions, against the double.

mod backfill;
mod client;
mod commands;
mod ensure;

use std::collections::BTreeSet;

use calendly::{ApiConfig, Calendly, EVENTS, Subject, Wish};
use secrecy::SecretString;
use tests::calendly_api::{CalendlyDouble, ORGANIZATION, TOKEN};

pub(crate) const CALLBACK: &str = "https://hooks.example/webhooks/calendly";

pub(crate) fn client(double: &CalendlyDouble) -> Calendly {
    client_with(double, TOKEN)
}

pub(crate) fn client_with(double: &CalendlyDouble, token: &str) -> Calendly {
    runtime::entry::install_crypto();
    let base = double.url().parse().unwrap();
    Calendly::new(&ApiConfig { token: SecretString::from(token), base }).unwrap()
}

pub(crate) fn organization() -> Subject {
    Subject::Organization { organization: ORGANIZATION.parse().unwrap() }
}

pub(crate) fn wish() -> Wish {
    let events: BTreeSet<String> = EVENTS.map(str::to_owned).into();
    Wish { url: CALLBACK.parse().unwrap(), subject: organization(), events }
}
