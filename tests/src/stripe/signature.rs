//! Webhook signatures: Stripe's and Calendly's schemes are the same, HMAC-SHA256 over `timestamp.body`.

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha2::Sha256;

/// The lower-case hex signature of a body at a time.
pub fn digest(key: &str, timestamp: i64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(format!("{timestamp}.").as_bytes());
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

/// The header's value: `t=…,v1=…`.
pub fn header(key: &str, timestamp: i64, body: &[u8]) -> String {
    format!("t={timestamp},v1={}", digest(key, timestamp, body))
}

/// The header's value for a delivery made now.
pub fn header_now(key: &str, body: &[u8]) -> String {
    header(key, Timestamp::now().as_second(), body)
}
