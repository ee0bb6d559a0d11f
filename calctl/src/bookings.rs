//! `calctl bookings`.

use std::time::{Duration, Instant};

use ::bookings::store::{BookingRow, CheckoutRequest, HistoryRow, OperationRow};
use anyhow::bail;
use runtime::env::Env;
use serde::Serialize;
use serde_json::json;

use crate::database;
use crate::output::{Printer, table};

const UNKNOWN: &str = "no booking is known by that id, reference, URI or e-mail address";
/// The processor looks for requests every second, and Stripe may take a while.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(200);

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    booking: BookingRow,
    history: Vec<HistoryRow>,
    operations: Vec<OperationRow>,
}

pub(crate) async fn show(env: &Env, printer: &Printer, name: &str) -> anyhow::Result<()> {
    let store = database::open(env)?;
    let mut all = Vec::new();
    for booking in store.find_bookings(name).await? {
        let (history, operations) = (store.history(booking.id).await?, store.operations(booking.id).await?);
        all.push(Shown { booking, history, operations });
    }
    if all.is_empty() {
        bail!(UNKNOWN);
    }
    printer.print(&all, |all| all.iter().map(text).collect::<Vec<_>>().join("\n"))
}

pub(crate) async fn checkout(env: &Env, printer: &Printer, name: &str) -> anyhow::Result<()> {
    let store = database::open(env)?;
    let found = store.find_bookings(name).await?;
    let booking_id = match found.as_slice() {
        [] => bail!(UNKNOWN),
        [only] => only.id,
        several => bail!("{} bookings have that name; give a booking id", several.len()),
    };
    match store.request_checkout(booking_id).await? {
        CheckoutRequest::NothingDue => {
            bail!("nothing is due: the booking is confirmed, cancelled, or its payment is on its way")
        }
        CheckoutRequest::Requested | CheckoutRequest::AlreadyOpen => {}
    }
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        let rows = store.find_bookings(&booking_id.to_string()).await?;
        if let Some(BookingRow { checkout_url: Some(url), checkout_session_id, .. }) = rows.into_iter().next() {
            let checkout =
                json!({ "booking_id": booking_id, "checkout_session_id": checkout_session_id, "checkout_url": url });
            return printer.print(&checkout, |_| url.clone());
        }
        tokio::time::sleep(POLL).await;
    }
    bail!(
        "the session was asked for but is not open after 30 s; is the processor running? `calctl bookings show {booking_id}` tells how far it is"
    )
}

fn text(shown: &Shown) -> String {
    let booking = &shown.booking;
    let or_dash = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    let amount =
        booking.amount_minor.map_or_else(|| "-".to_owned(), |minor| format!("{minor} {}", or_dash(&booking.currency)));
    let facts = [
        ("booking", booking.id.to_string()),
        ("reference", or_dash(&booking.reference)),
        ("status", format!("{}, {}", booking.status, booking.payment_status)),
        ("price", amount),
        ("invitee", or_dash(&booking.invitee_uri)),
        ("name", or_dash(&booking.invitee_name)),
        ("email", or_dash(&booking.invitee_email)),
        ("starts", booking.start_time.map_or_else(|| "-".to_owned(), |time| time.to_string())),
        ("checkout", or_dash(&booking.checkout_url)),
        ("payment", or_dash(&booking.payment_intent_id)),
    ];
    let facts = facts.map(|(name, value)| format!("{name:<10}{}", value.replace(char::is_control, " "))).join("\n");
    format!("{facts}\n\n{}", table(&["WHEN", "WHAT", "DETAIL"], &timeline(shown)))
}

fn timeline(shown: &Shown) -> Vec<Vec<String>> {
    let mut rows: Vec<_> = shown
        .history
        .iter()
        .map(|row| {
            (row.occurred_at, vec![row.occurred_at.to_string(), row.event_type.clone(), row.event_id.to_string()])
        })
        .collect();
    rows.extend(shown.operations.iter().map(|row| {
        let error = row.error.as_ref().map_or_else(String::new, |error| format!(": {error}"));
        let detail = format!("{} after {} tries{error}", row.state, row.attempts);
        (row.created_at, vec![row.created_at.to_string(), format!("stripe {}", row.kind), detail])
    }));
    rows.sort_by_key(|(when, _)| *when);
    rows.into_iter().map(|(_, row)| row).collect()
}
