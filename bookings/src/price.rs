//! What a booking costs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The price of one booking, in the currency's minor unit (for zero-decimal currencies, in the currency itself).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Price {
    /// Nothing is due.
    Free,
    /// An amount is due.
    Amount {
        /// Minor units, more than 0.
        minor: i64,
        /// ISO 4217 code in lower case, as Stripe writes it.
        currency: String,
    },
}

/// A price that cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("write `free`, or minor units and a currency such as `5000 usd`")]
pub struct PriceError;

impl FromStr for Price {
    type Err = PriceError;

    fn from_str(text: &str) -> Result<Self, PriceError> {
        if text.trim().eq_ignore_ascii_case("free") {
            return Ok(Self::Free);
        }
        let mut words = text.split_ascii_whitespace();
        let (Some(minor), Some(currency), None) = (words.next(), words.next(), words.next()) else {
            return Err(PriceError);
        };
        if !minor.bytes().all(|b| b.is_ascii_digit()) {
            return Err(PriceError);
        }
        // Stripe's own limit for an amount is eight digits; JPY and the like may need more than that in a typo.
        let minor = minor.parse().ok().filter(|minor| (1..=99_999_999).contains(minor)).ok_or(PriceError)?;
        let currency = currency.to_ascii_lowercase();
        if currency.len() != 3 || !currency.bytes().all(|b| b.is_ascii_lowercase()) {
            return Err(PriceError);
        }
        Ok(Self::Amount { minor, currency })
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Free => f.write_str("free"),
            Self::Amount { minor, currency } => write!(f, "{minor} {currency}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_contract_writes() {
        let amount = |minor, currency: &str| Price::Amount { minor, currency: currency.to_owned() };
        assert_eq!("free".parse(), Ok(Price::Free));
        assert_eq!("5000 usd".parse(), Ok(amount(5000, "usd")));
        assert_eq!(" 700  JPY ".parse(), Ok(amount(700, "jpy")));
        for wrong in
            ["", "5000", "usd", "0 usd", "-5 usd", "+5 usd", "50.00 usd", "5000 dollars", "5000 usd x", "999999999 usd"]
        {
            assert_eq!(wrong.parse::<Price>(), Err(PriceError), "{wrong}");
        }
    }
}
