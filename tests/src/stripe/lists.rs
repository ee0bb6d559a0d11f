//! Lists: newest first, filtered, a page at a time.

use serde_json::Value;

use super::error::Refusal;
use super::model::{Refund, Row, Session, SessionStatus, Table};
use super::objects;
use super::params::Params;
use super::store::Store;

pub(super) fn sessions(store: &Store, params: &Params) -> Result<Value, Refusal> {
    let keep = |session: &Session| {
        let status = match session.status {
            SessionStatus::Open => "open",
            SessionStatus::Complete => "complete",
            SessionStatus::Expired => "expired",
        };
        let intent = session.payment_intent.as_deref();
        let object = || objects::session(session);
        params.get("status").is_none_or(|want| want == status)
            && params.get("payment_intent").is_none_or(|want| Some(want) == intent)
            && params
                .get("customer_details[email]")
                .is_none_or(|want| object()["customer_details"]["email"].as_str() == Some(want))
    };
    let (page, more) = page(&store.sessions, params, "checkout.session", keep)?;
    let data: Vec<Value> = page.into_iter().map(objects::session).collect();
    Ok(objects::list("/v1/checkout/sessions", &data, more))
}

pub(super) fn refunds(store: &Store, params: &Params) -> Result<Value, Refusal> {
    let keep = |refund: &Refund| {
        params.get("payment_intent").is_none_or(|want| want == refund.payment_intent)
            && params.get("charge").is_none_or(|want| want == refund.charge)
    };
    let (page, more) = page(&store.refunds, params, "refund", keep)?;
    let data: Vec<Value> = page.into_iter().map(objects::refund).collect();
    Ok(objects::list("/v1/refunds", &data, more))
}

fn page<'a, T: Row>(
    table: &'a Table<T>,
    params: &Params,
    object: &str,
    keep: impl Fn(&T) -> bool,
) -> Result<(Vec<&'a T>, bool), Refusal> {
    let cursor = |name: &str| match params.get(name) {
        None => Ok(None),
        Some(id) => table.position(id).map(Some).ok_or_else(|| Refusal::no_such(object, id, name)),
    };
    let (after, before) = (cursor("starting_after")?, cursor("ending_before")?);
    if after.is_some() && before.is_some() {
        return Err(Refusal::invalid("You cannot parameterize `starting_after` and `ending_before` at the same time."));
    }
    let limit = usize::try_from(params.int("limit").unwrap_or(10)).unwrap_or(10);
    let kept = |row: &&T| in_time(row.created(), params) && keep(row);
    // Newest first is the table backwards; the page before a cursor is the one next to it.
    let (from, to) = (before.map_or(0, |at| at + 1), after.unwrap_or(table.rows().len()));
    let rows = &table.rows()[from.min(to)..to];
    let mut page: Vec<&T> = if before.is_some() {
        rows.iter().filter(kept).take(limit + 1).collect()
    } else {
        rows.iter().rev().filter(kept).take(limit + 1).collect()
    };
    let more = page.len() > limit;
    page.truncate(limit);
    if before.is_some() {
        page.reverse();
    }
    Ok((page, more))
}

fn in_time(created: i64, params: &Params) -> bool {
    let is = |name: &str, holds: fn(i64, i64) -> bool| params.int(name).is_none_or(|bound| holds(created, bound));
    is("created", |a, b| a == b)
        && is("created[gt]", |a, b| a > b)
        && is("created[gte]", |a, b| a >= b)
        && is("created[lt]", |a, b| a < b)
        && is("created[lte]", |a, b| a <= b)
}
