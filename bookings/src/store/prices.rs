//! Prices by event type.

use tokio_postgres::Row;

use super::Store;
use super::error::StoreError;
use crate::price::Price;

/// A price of the list.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ListedPrice {
    /// Calendly's URI of the event type.
    pub event_type_uri: String,
    /// Its price.
    pub price: Price,
}

impl Store {
    /// Sets the price of an event type. Bookings that already have a price keep it.
    pub async fn set_price(&self, event_type_uri: &str, price: &Price) -> Result<(), StoreError> {
        let (minor, currency) = match price {
            Price::Free => (None, None),
            Price::Amount { minor, currency } => (Some(*minor), Some(currency)),
        };
        let client = self.client().await?;
        client
            .execute(
                "INSERT INTO prices (event_type_uri, amount_minor, currency) VALUES ($1, $2, $3) ON CONFLICT (event_type_uri) \
                 DO UPDATE SET amount_minor = excluded.amount_minor, currency = excluded.currency, updated_at = now()",
                &[&event_type_uri, &minor, &currency],
            )
            .await?;
        Ok(())
    }

    /// All prices, by event type.
    pub async fn list_prices(&self) -> Result<Vec<ListedPrice>, StoreError> {
        let client = self.client().await?;
        let rows = client
            .query("SELECT amount_minor, currency, event_type_uri FROM prices ORDER BY event_type_uri", &[])
            .await?;
        Ok(rows.iter().map(|row| ListedPrice { event_type_uri: row.get(2), price: price(row) }).collect())
    }
}

pub(super) fn price(row: &Row) -> Price {
    match (row.get::<_, Option<i64>>(0), row.get::<_, Option<String>>(1)) {
        (Some(minor), Some(currency)) => Price::Amount { minor, currency },
        _ => Price::Free,
    }
}
