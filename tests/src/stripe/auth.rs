//! What Stripe checks of the headers before it looks at the parameters.

use axum::http::HeaderMap;

use super::API_VERSION;
use super::error::Refusal;

pub(super) fn check(headers: &HeaderMap, secret_key: &str) -> Result<(), Refusal> {
    authorize(header(headers, "authorization"), secret_key)?;
    match header(headers, "stripe-version") {
        Some(version) if version == API_VERSION => {}
        Some(other) => return Err(Refusal::invalid(format!("Invalid Stripe API version: {other}"))),
        None => return Err(Refusal::invalid(format!("The double wants Stripe-Version: {API_VERSION}"))),
    }
    if header(headers, "idempotency-key").is_some_and(|key| key.is_empty() || key.len() > 255) {
        let message = "Idempotency keys can have between 1 and 255 characters.";
        return Err(Refusal::new(400, "idempotency_error", message));
    }
    Ok(())
}

pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn authorize(given: Option<&str>, secret_key: &str) -> Result<(), Refusal> {
    let refuse = |message: &str| {
        let refusal = Refusal::new(401, "invalid_request_error", message);
        Err(refusal.header("WWW-Authenticate", "Bearer realm=\"Stripe\""))
    };
    let Some(given) = given else {
        return refuse("You did not provide an API key. You need to provide your API key in the Authorization header.");
    };
    let matches = match given.split_once(' ') {
        Some(("Bearer", key)) => key == secret_key,
        Some(("Basic", pair)) => pair == base64(format!("{secret_key}:").as_bytes()),
        _ => false,
    };
    if matches { Ok(()) } else { refuse("Invalid API Key provided.") }
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = (0..3).fold(0u32, |word, at| word << 8 | u32::from(chunk.get(at).copied().unwrap_or(0)));
        for at in 0..4 {
            let sextet = (word >> (18 - 6 * at)) & 63;
            text.push(if at <= chunk.len() { char::from(ALPHABET[sextet as usize]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn encodes_base64() {
        for (plain, coded) in [("a", "YQ=="), ("ab", "YWI="), ("abc", "YWJj"), ("sk_test_1:", "c2tfdGVzdF8xOg==")] {
            assert_eq!(super::base64(plain.as_bytes()), coded);
        }
    }
}
