//! Durations as the configuration writes them: `500ms`, `1s`, `5m`, `1h`.

use std::time::Duration;

/// Why a text is no duration. The message says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Nothing but a unit, or nothing at all.
    #[error("`{0}` is no duration; write for example 500ms, 1s, 5m or 1h")]
    NotADuration(String),
    /// A bare number: seconds or milliseconds is anybody's guess, so it is refused.
    #[error("`{0}` has no unit; write for example {0}s")]
    NoUnit(String),
    /// A unit other than ms, s, m, h.
    #[error("`{0}` has an unknown unit; use ms, s, m or h")]
    UnknownUnit(String),
    /// More than 64 bits of milliseconds or seconds can hold.
    #[error("`{0}` is too long")]
    TooLong(String),
}

/// Reads a whole number and its unit. Zero is a duration; a caller that cannot use it refuses it.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let own = || text.to_owned();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(DurationError::NotADuration(own()));
    }
    let too_long = |_| DurationError::TooLong(own());
    let number: u64 = number.parse().map_err(too_long)?;
    let seconds = match unit {
        "" => return Err(DurationError::NoUnit(own())),
        "ms" => return Ok(Duration::from_millis(number)),
        "s" => Some(number),
        "m" => number.checked_mul(60),
        "h" => number.checked_mul(3600),
        _ => return Err(DurationError::UnknownUnit(own())),
    };
    seconds.map(Duration::from_secs).ok_or_else(|| DurationError::TooLong(own()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_unit() {
        for (text, millis) in
            [("500ms", 500), ("0s", 0), ("1s", 1_000), ("5m", 300_000), ("1h", 3_600_000), ("007s", 7_000)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn refuses_everything_else() {
        use DurationError::{NoUnit, NotADuration, TooLong, UnknownUnit};
        type Kind = fn(String) -> DurationError;
        let table: [(&str, Kind); 14] = [
            ("5", NoUnit),
            ("", NotADuration),
            (" ", NotADuration),
            ("s", NotADuration),
            ("-1s", NotADuration),
            ("+1s", NotADuration),
            (" 1s", NotADuration),
            ("1.5s", UnknownUnit),
            ("1 s", UnknownUnit),
            ("1S", UnknownUnit),
            ("1d", UnknownUnit),
            ("1m30s", UnknownUnit),
            ("18446744073709551616s", TooLong),
            ("18446744073709551615h", TooLong),
        ];
        for (text, kind) in table {
            assert_eq!(parse_duration(text), Err(kind(text.to_owned())), "{text:?}");
        }
    }
}
