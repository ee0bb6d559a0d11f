//! How fast to ask: pauses between tries, and what Calendly says about its rate limit. Pure.

use std::time::Duration;

use reqwest::header::HeaderMap;

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// Calendly counts by the minute, so no wait has to be longer; a header that says more is not believed.
const WINDOW: Duration = Duration::from_mins(1);

/// The pause after the try with this number, from 0. `random` is from 0 to 1: of many clients that failed together, no
/// two come back together.
pub(crate) fn pause(tried: u32, random: f64) -> Duration {
    let longest = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(tried)).min(LONGEST_PAUSE);
    longest.mul_f64(0.5 + 0.5 * random.clamp(0.0, 1.0))
}

/// A wait for the next window, and a little more for the same reason.
pub(crate) fn spread(wait: Duration, random: f64) -> Duration {
    wait + Duration::from_millis(500).mul_f64(random.clamp(0.0, 1.0))
}

/// How long to send nothing, when an answer says that its request was the last of this window.
pub(crate) fn exhausted(headers: &HeaderMap) -> Option<Duration> {
    (number(headers, "x-ratelimit-remaining") == Some(0)).then(|| reset(headers)).flatten()
}

/// How long to wait after a 429, if it says so.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let asked = number(headers, "retry-after").map(Duration::from_secs);
    asked.or_else(|| reset(headers)).map(|wait| wait.min(WINDOW))
}

fn reset(headers: &HeaderMap) -> Option<Duration> {
    number(headers, "x-ratelimit-reset").map(|seconds| Duration::from_secs(seconds).min(WINDOW))
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound() {
        let longest: Vec<u128> = (0..7).map(|tried| pause(tried, 1.0).as_millis()).collect();
        assert_eq!(longest, [250, 500, 1000, 2000, 4000, 8000, 8000]);
        assert_eq!(pause(0, 0.0), Duration::from_millis(125));
        assert_eq!(pause(u32::MAX, 2.0), LONGEST_PAUSE);
    }

    #[test]
    fn headers_are_believed_within_reason() {
        let headers = |pairs: &[(&'static str, &'static str)]| -> HeaderMap {
            pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
        };
        let spent = headers(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "7")]);
        assert_eq!(exhausted(&spent), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(&spent), Some(Duration::from_secs(7)));
        assert_eq!(exhausted(&headers(&[("x-ratelimit-remaining", "3"), ("x-ratelimit-reset", "7")])), None);
        assert_eq!(exhausted(&headers(&[("x-ratelimit-remaining", "0")])), None);
        let both = headers(&[("retry-after", "2"), ("x-ratelimit-reset", "1764172800")]);
        assert_eq!(retry_after(&both), Some(Duration::from_secs(2)));
        assert_eq!(retry_after(&headers(&[("x-ratelimit-reset", "1764172800")])), Some(WINDOW));
        assert_eq!(retry_after(&headers(&[("retry-after", "soon")])), None);
    }
}
