//! What Stripe asks of several parameters together: required ones, limits on time, money and metadata.

use std::collections::BTreeSet;

use super::error::Refusal;
use super::params::{Params, segments};

const HALF_AN_HOUR: i64 = 30 * 60;
const A_DAY: i64 = 24 * 60 * 60;
/// What a request may lose between being written and being read.
const SLACK: i64 = 3;

/// Currencies with the least amount that can be charged, in minor units.
const CURRENCIES: &[(&str, i64)] = &[
    ("usd", 50),
    ("aed", 200),
    ("aud", 50),
    ("brl", 50),
    ("cad", 50),
    ("chf", 50),
    ("clp", 1),
    ("czk", 1500),
    ("dkk", 250),
    ("eur", 50),
    ("gbp", 30),
    ("hkd", 400),
    ("huf", 17500),
    ("inr", 50),
    ("isk", 1),
    ("jpy", 50),
    ("krw", 1),
    ("kwd", 1),
    ("mxn", 1000),
    ("nok", 300),
    ("nzd", 50),
    ("pln", 200),
    ("sek", 300),
    ("sgd", 50),
    ("thb", 1000),
    ("vnd", 1),
];

/// The least amount in a currency; `None` when Stripe has no such currency.
pub(super) fn minimum(currency: &str) -> Option<i64> {
    CURRENCIES.iter().find(|(code, _)| *code == currency).map(|(_, least)| *least)
}

pub(super) fn create_session(params: &Params, now: i64) -> Result<(), Refusal> {
    required(params, "mode")?;
    required(params, "success_url")?;
    if let Some(at) = params.int("expires_at") {
        expiry(at, now)?;
    }
    for group in ["metadata", "payment_intent_data[metadata]"] {
        at_most_50_keys(params, group)?;
    }
    let (total, currency) = total(params)?;
    if total < minimum(&currency).unwrap_or(1).max(1) {
        let message = "The Checkout Session's total amount due must add up to at least the minimum of its currency";
        return Err(Refusal::invalid(format!("{message} ({currency}).")).code("amount_too_small"));
    }
    if total > 99_999_999 {
        let message = "The Checkout Session's total amount due must be no more than 99999999";
        return Err(Refusal::invalid(message).code("amount_too_large"));
    }
    Ok(())
}

pub(super) fn create_refund(params: &Params) -> Result<(), Refusal> {
    if params.get("payment_intent").is_none() && params.get("charge").is_none() {
        return Err(Refusal::missing_param("payment_intent"));
    }
    at_most_50_keys(params, "metadata")
}

fn expiry(at: i64, now: i64) -> Result<(), Refusal> {
    let refuse = |message: &str| Err(Refusal::invalid(message).param("expires_at"));
    if at < now + HALF_AN_HOUR - SLACK {
        return refuse("The `expires_at` timestamp must be at least 30 minutes from Checkout Session creation.");
    }
    if at > now + A_DAY + SLACK {
        return refuse("The `expires_at` timestamp must be less than 24 hours from Checkout Session creation.");
    }
    Ok(())
}

fn required(params: &Params, name: &str) -> Result<(), Refusal> {
    params.get(name).map(|_| ()).ok_or_else(|| Refusal::missing_param(name))
}

fn at_most_50_keys(params: &Params, group: &str) -> Result<(), Refusal> {
    let keys = params.group(group).len();
    if keys > 50 {
        let message = format!("Metadata can have up to 50 keys, but you passed in {keys}.");
        return Err(Refusal::invalid(message).param(group));
    }
    Ok(())
}

/// The indices of the line items.
fn items(params: &Params) -> BTreeSet<&str> {
    let names = params.iter().filter_map(|(name, _)| segments(name));
    names.filter(|parts| parts.len() > 1 && parts[0] == "line_items").map(|parts| parts[1]).collect()
}

/// What the line items add up to, and in which currency.
pub(super) fn total(params: &Params) -> Result<(i64, String), Refusal> {
    let (mut total, mut currency) = (0i64, None::<&str>);
    for index in items(params) {
        let item = format!("line_items[{index}]");
        let price = format!("{item}[price_data]");
        for name in ["currency", "unit_amount", "product_data][name"] {
            required(params, &format!("{price}[{name}]"))?;
        }
        required(params, &format!("{item}[quantity]"))?;
        let amount = params.int(&format!("{price}[unit_amount]")).unwrap_or(0);
        let quantity = params.int(&format!("{item}[quantity]")).unwrap_or(0);
        total = total.saturating_add(amount.saturating_mul(quantity));
        let this = params.get(&format!("{price}[currency]")).unwrap_or_default();
        if currency.is_some_and(|other| other != this) {
            return Err(Refusal::invalid("All line items must have the same currency.").param("line_items"));
        }
        currency = Some(this);
    }
    let currency = currency.ok_or_else(|| Refusal::missing_param("line_items"))?;
    Ok((total, currency.to_owned()))
}
