//! `calctl prices`.

use bookings::Price;
use bookings::store::ListedPrice;
use runtime::env::Env;
use serde::Serialize;

use crate::database;
use crate::output::{Printer, table};

#[derive(Serialize)]
struct Row {
    event_type_uri: String,
    price: String,
    amount_minor: Option<i64>,
    currency: Option<String>,
}

impl From<ListedPrice> for Row {
    fn from(listed: ListedPrice) -> Self {
        let price = listed.price.to_string();
        let (amount_minor, currency) = match listed.price {
            Price::Free => (None, None),
            Price::Amount { minor, currency } => (Some(minor), Some(currency)),
        };
        Self { event_type_uri: listed.event_type_uri, price, amount_minor, currency }
    }
}

pub(crate) async fn list(env: &Env, printer: &Printer) -> anyhow::Result<()> {
    let rows: Vec<Row> = database::open(env)?.list_prices().await?.into_iter().map(Row::from).collect();
    printer.print(&rows, |rows| {
        let cells: Vec<_> = rows.iter().map(|row| vec![row.event_type_uri.clone(), row.price.clone()]).collect();
        table(&["EVENT TYPE", "PRICE"], &cells)
    })
}

pub(crate) async fn set(env: &Env, printer: &Printer, event_type_uri: &str, price: &Price) -> anyhow::Result<()> {
    database::open(env)?.set_price(event_type_uri, price).await?;
    let row = Row::from(ListedPrice { event_type_uri: event_type_uri.to_owned(), price: price.clone() });
    printer.print(&row, |row| format!("{} costs {}", row.event_type_uri, row.price))
}
