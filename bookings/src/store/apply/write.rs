//! Writing what was decided: one statement for each table, whatever the size of the batch.

use deadpool_postgres::Transaction;
use futures_util::future::{try_join, try_join5};
use jiff::Timestamp;
use tokio_postgres::types::Json;
use uuid::Uuid;

use super::super::error::StoreError;
use super::super::params::Fields;
use super::case::Case;
use super::names::{self, Name};
use super::operation::{Change, Entry};
use super::sql;
use crate::fact::{Fact, FactKind};
use crate::fold::SessionState;
use crate::price::Price;

/// A booking that has been decided, with the names that are to lead to it.
pub(super) struct Decided<'a> {
    pub(super) case: Case<'a>,
    pub(super) names: Vec<Name>,
}

pub(super) async fn write(tx: &Transaction<'_>, decided: &[Decided<'_>]) -> Result<(), StoreError> {
    // The rows first: all others refer to them. Sent at once, the server takes them one after the other.
    let rows = bookings(tx, decided);
    let rest = try_join5(
        links(tx, decided),
        payments(tx, decided),
        facts(tx, decided),
        planned(tx, decided),
        changed(tx, decided),
    );
    try_join(rows, rest).await?;
    Ok(())
}

async fn bookings(tx: &Transaction<'_>, decided: &[Decided<'_>]) -> Result<(), StoreError> {
    let rows: Vec<&Case<'_>> = decided.iter().map(|decided| &decided.case).filter(|case| case.is_touched).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let statement = tx.prepare_cached(sql::WRITE_BOOKINGS).await?;
    let columns = Columns::of(&rows);
    tx.execute(
        &statement,
        &[
            &columns.id,
            &columns.reference,
            &columns.invitee_uri,
            &columns.event_uri,
            &columns.event_type_uri,
            &columns.event_name,
            &columns.email,
            &columns.name,
            &columns.start_time,
            &columns.end_time,
            &columns.status,
            &columns.payment_status,
            &columns.amount,
            &columns.currency,
            &columns.session,
            &columns.url,
            &columns.intent,
            &columns.no_show,
        ],
    )
    .await?;
    Ok(())
}

/// The computed columns of some bookings.
#[derive(Default)]
struct Columns<'a> {
    id: Vec<Uuid>,
    reference: Vec<Option<&'a str>>,
    invitee_uri: Vec<Option<&'a str>>,
    event_uri: Vec<Option<&'a str>>,
    event_type_uri: Vec<Option<&'a str>>,
    event_name: Vec<Option<&'a str>>,
    email: Vec<Option<&'a str>>,
    name: Vec<Option<&'a str>>,
    start_time: Vec<Option<Timestamp>>,
    end_time: Vec<Option<Timestamp>>,
    status: Vec<&'a str>,
    payment_status: Vec<&'a str>,
    amount: Vec<Option<i64>>,
    currency: Vec<Option<&'a str>>,
    session: Vec<Option<&'a str>>,
    url: Vec<Option<&'a str>>,
    intent: Vec<Option<&'a str>>,
    no_show: Vec<bool>,
}

impl<'a> Columns<'a> {
    fn of(cases: &[&'a Case<'_>]) -> Self {
        let mut columns = Self::default();
        for case in cases {
            columns.push(case);
        }
        columns
    }

    fn push(&mut self, case: &'a Case<'_>) {
        let booking = &case.booking;
        let details = &booking.details;
        self.id.push(case.booking_id);
        self.reference.push(details.reference.as_deref());
        self.invitee_uri.push(Some(details.invitee_uri.as_str()).filter(|uri| !uri.is_empty()));
        self.event_uri.push(details.event_uri.as_deref());
        self.event_type_uri.push(details.event_type_uri.as_deref());
        self.event_name.push(details.event_name.as_deref());
        self.email.push(details.email.as_deref());
        self.name.push(details.name.as_deref());
        self.start_time.push(details.start_time);
        self.end_time.push(details.end_time);
        self.status.push(booking.status.as_str());
        self.payment_status.push(booking.payment_status.as_str());
        let (amount, currency) = match &booking.price {
            Some(Price::Amount { minor, currency }) => (Some(*minor), Some(currency.as_str())),
            Some(Price::Free) | None => (None, None),
        };
        self.amount.push(amount);
        self.currency.push(currency);
        let session = booking.session.as_ref();
        let open = session.filter(|session| session.state == SessionState::Open);
        self.session.push(session.map(|session| session.id.as_str()));
        self.url.push(open.and_then(|session| session.opened.as_ref()?.url.as_deref()));
        self.intent.push(session.and_then(|session| match &session.state {
            SessionState::Paid(payment) => Some(payment.intent.as_str()),
            _ => None,
        }));
        self.no_show.push(booking.no_show);
    }
}

async fn links(tx: &Transaction<'_>, decided: &[Decided<'_>]) -> Result<(), StoreError> {
    let (mut uris, mut ids): (Vec<&str>, Vec<Uuid>) = (Vec::new(), Vec::new());
    for decided in decided {
        for name in &decided.names {
            if let Name::Invitee(uri) = name {
                uris.push(uri);
                ids.push(decided.case.booking_id);
            }
        }
    }
    if uris.is_empty() {
        return Ok(());
    }
    let statement = tx.prepare_cached(sql::WRITE_LINKS).await?;
    tx.execute(&statement, &[&uris, &ids]).await?;
    Ok(())
}

async fn payments(tx: &Transaction<'_>, decided: &[Decided<'_>]) -> Result<(), StoreError> {
    let (mut intents, mut ids): (Vec<&str>, Vec<Uuid>) = (Vec::new(), Vec::new());
    for decided in decided {
        for intent in names::payments(decided.case.changed_facts()) {
            intents.push(intent);
            ids.push(decided.case.booking_id);
        }
    }
    if intents.is_empty() {
        return Ok(());
    }
    let known = tx.prepare_cached(sql::WRITE_PAYMENTS).await?;
    // Their facts are among the booking's by now.
    let strays = tx.prepare_cached(sql::ADOPT_STRAYS).await?;
    tx.execute(&known, &[&intents, &ids]).await?;
    tx.execute(&strays, &[&intents]).await?;
    Ok(())
}

async fn facts(tx: &Transaction<'_>, decided: &[Decided<'_>]) -> Result<(), StoreError> {
    let rows: Vec<(Uuid, &Fact)> = decided
        .iter()
        .flat_map(|decided| decided.case.changed_facts().map(|fact| (decided.case.booking_id, fact)))
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    let statement = tx.prepare_cached(sql::WRITE_FACTS).await?;
    let ids: Vec<Uuid> = rows.iter().map(|(_, fact)| fact.id).collect();
    let bookings: Vec<Uuid> = rows.iter().map(|(booking_id, _)| *booking_id).collect();
    let types: Vec<&str> = rows.iter().map(|(_, fact)| fact.event_type.as_str()).collect();
    let times: Vec<Timestamp> = rows.iter().map(|(_, fact)| fact.occurred_at).collect();
    let kinds: Vec<Json<&FactKind>> = rows.iter().map(|(_, fact)| Json(&fact.kind)).collect();
    tx.execute(&statement, &[&ids, &bookings, &types, &times, &kinds]).await?;
    Ok(())
}

/// Sets facts about unknown payments aside.
pub(super) async fn set_aside(tx: &Transaction<'_>, strays: &[(&str, &Fact)]) -> Result<(), StoreError> {
    let statement = tx.prepare_cached(sql::SET_ASIDE).await?;
    for (intent, fact) in strays {
        tx.execute(&statement, &[&fact.id, intent, &fact.event_type, &fact.occurred_at, &Json(&fact.kind)]).await?;
    }
    Ok(())
}

fn entries<'a>(decided: &'a [Decided<'_>], wanted: fn(Change) -> bool) -> Vec<(Uuid, &'a Entry)> {
    let all =
        decided.iter().flat_map(|decided| decided.case.ledger.iter().map(|entry| (decided.case.booking_id, entry)));
    all.filter(|(_, entry)| wanted(entry.change)).collect()
}

/// Every column of these entries, in one order.
macro_rules! column {
    ($entries:ident, $entry:ident => $value:expr) => {
        $entries.iter().map(|(_, $entry)| $value).collect::<Vec<_>>()
    };
}

async fn planned(tx: &Transaction<'_>, decided: &[Decided<'_>]) -> Result<(), StoreError> {
    let entries = entries(decided, |change| change == Change::Inserted);
    if entries.is_empty() {
        return Ok(());
    }
    let statement = tx.prepare_cached(sql::PLAN_OPERATIONS).await?;
    let bookings: Vec<Uuid> = entries.iter().map(|(booking_id, _)| *booking_id).collect();
    let params: Vec<Option<Json<&Fields>>> = column!(entries, entry => entry.params.as_ref().map(Json));
    tx.execute(
        &statement,
        &[
            &column!(entries, entry => entry.id),
            &bookings,
            &column!(entries, entry => entry.kind.as_str()),
            &column!(entries, entry => entry.target.as_str()),
            &column!(entries, entry => entry.key.as_str()),
            &params,
            &column!(entries, entry => entry.attempts),
            &column!(entries, entry => entry.keys_used),
            &column!(entries, entry => entry.first_tried_at),
            &column!(entries, entry => entry.last_tried_at),
            &column!(entries, entry => entry.in_doubt),
            &column!(entries, entry => entry.lease),
            &column!(entries, entry => entry.lease_until),
            &column!(entries, entry => entry.created_at),
        ],
    )
    .await?;
    Ok(())
}

async fn changed(tx: &Transaction<'_>, decided: &[Decided<'_>]) -> Result<(), StoreError> {
    let entries = entries(decided, |change| matches!(change, Change::State | Change::Params));
    if entries.is_empty() {
        return Ok(());
    }
    let statement = tx.prepare_cached(sql::CHANGE_OPERATIONS).await?;
    let params: Vec<Option<Json<&Fields>>> =
        column!(entries, entry => entry.params.as_ref().filter(|_| entry.change == Change::Params).map(Json));
    tx.execute(
        &statement,
        &[
            &column!(entries, entry => entry.id),
            &column!(entries, entry => entry.state.as_str()),
            &column!(entries, entry => entry.key.as_str()),
            &params,
            &column!(entries, entry => entry.attempts),
            &column!(entries, entry => entry.keys_used),
            &column!(entries, entry => entry.first_tried_at),
            &column!(entries, entry => entry.last_tried_at),
            &column!(entries, entry => entry.look_up),
            &column!(entries, entry => entry.in_doubt),
            &column!(entries, entry => entry.lease),
            &column!(entries, entry => entry.lease_until),
            &column!(entries, entry => entry.error.as_deref()),
            &column!(entries, entry => entry.settled_at),
        ],
    )
    .await?;
    Ok(())
}

/// Marks locked bookings, so that nothing that tells of their persons is kept or published any more. Their facts are the
/// caller's to clean; the fields of operations that have ended are read by nobody, and go here.
pub(super) async fn mark_erased(tx: &Transaction<'_>, bookings: &[Uuid]) -> Result<(), StoreError> {
    let marks = "UPDATE bookings SET erased_at = coalesce(erased_at, now()) WHERE id = ANY($1)";
    let fields = "UPDATE stripe_operations SET params = '[]' \
                  WHERE booking_id = ANY($1) AND state IN ('done', 'abandoned') AND params <> '[]'";
    for statement in [marks, fields] {
        tx.execute(statement, &[&bookings]).await?;
    }
    Ok(())
}

/// Makes several locked bookings one: everything of the others moves to the survivor, and their ids stay as aliases.
pub(super) async fn merge(tx: &Transaction<'_>, survivor: Uuid, others: &[Uuid]) -> Result<(), StoreError> {
    for statement in [
        "UPDATE booking_invitees SET booking_id = $1 WHERE booking_id = ANY($2)",
        "UPDATE booking_payments SET booking_id = $1 WHERE booking_id = ANY($2)",
        "UPDATE booking_events SET booking_id = $1 WHERE booking_id = ANY($2)",
        "UPDATE stripe_operations SET booking_id = $1 WHERE booking_id = ANY($2)",
        "UPDATE booking_aliases SET booking_id = $1 WHERE booking_id = ANY($2)",
        "INSERT INTO booking_aliases (alias, booking_id) SELECT alias, $1 FROM unnest($2::uuid[]) AS alias",
    ] {
        tx.execute(statement, &[&survivor, &others]).await?;
    }
    tx.execute("DELETE FROM bookings WHERE id = ANY($1)", &[&others]).await?;
    tracing::info!(booking_id = %survivor, merged = others.len(), "bookings turned out to be one");
    Ok(())
}
