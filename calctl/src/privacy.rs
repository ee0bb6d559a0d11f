//! `calctl privacy`.

use std::time::{Duration, Instant};

use ::bookings::store::{ErasedBooking, Store};
use anyhow::bail;
use runtime::env::Env;
use serde::Serialize;
use uuid::Uuid;

use crate::database;
use crate::output::{Printer, table};

/// The processor publishes once a second, but may be about to start.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(200);

#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    booking: ErasedBooking,
    /// Whether the person is gone from the database.
    erased: bool,
    /// Whether `bookings.changes` has the tombstone.
    tombstone: bool,
}

pub(crate) async fn erase(env: &Env, printer: &Printer, email: &str, dry_run: bool) -> anyhow::Result<()> {
    let store = database::open(env)?;
    let bookings = store.erase_person(email.trim(), dry_run).await?;
    if bookings.is_empty() {
        bail!("no booking is known by that e-mail address");
    }
    let ids: Vec<Uuid> = bookings.iter().map(|booking| booking.booking_id).collect();
    let published = !dry_run && are_published(&store, &ids).await?;
    let row = |booking| Row { booking, erased: !dry_run, tombstone: published };
    let rows: Vec<Row> = bookings.into_iter().map(row).collect();
    printer.print(&rows, |rows| text(rows, dry_run, published))
}

/// Waits until a processor has published what is left of the bookings: nothing.
async fn are_published(store: &Store, ids: &[Uuid]) -> anyhow::Result<bool> {
    let until = Instant::now() + PATIENCE;
    loop {
        if !store.are_changes_pending(ids).await? {
            return Ok(true);
        }
        if Instant::now() >= until {
            return Ok(false);
        }
        tokio::time::sleep(POLL).await;
    }
}

fn text(rows: &[Row], dry_run: bool, published: bool) -> String {
    let cells = |Row { booking, .. }: &Row| {
        let start = booking.start_time.map_or_else(|| "-".to_owned(), |time| time.to_string());
        vec![booking.booking_id.to_string(), booking.status.clone(), booking.payment_status.clone(), start]
    };
    let cells: Vec<_> = rows.iter().map(cells).collect();
    let said = match (dry_run, published) {
        (true, _) => "would lose the person",
        (false, true) => "lost the person; bookings.changes has their tombstones",
        (false, false) => "lost the person; the tombstones in bookings.changes wait for a processor",
    };
    let rest = "Calendly, Stripe and the event topics have what they have: see docs/DATA.md";
    format!("{}{} bookings {said}. {rest}", table(&["BOOKING", "STATUS", "PAYMENT", "STARTS"], &cells), rows.len())
}
