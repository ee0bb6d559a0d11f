//! `calctl bookings`.

use ::bookings::store::{BookingRow, HistoryRow, OperationRow};
use anyhow::bail;
use runtime::env::Env;
use serde::Serialize;

use crate::database;
use crate::output::{Printer, table};

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
        bail!("no booking is known by that id, reference, URI or e-mail address");
    }
    printer.print(&all, |all| all.iter().map(text).collect::<Vec<_>>().join("\n"))
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
    let facts = facts.map(|(name, value)| format!("{name:<10}{value}")).join("\n");
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
