//! Forged, malformed, stale and right signatures.

use axum::http::HeaderValue;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::*;

const KEY: &str = "whsec_right";
const BODY: &[u8] = br#"{"event":"invitee.created"}"#;
const NOW: i64 = 1_700_000_000;

pub(crate) fn sign(key: &str, timestamp: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

fn verify_with(keys: &[&str], late: LateDeliveries, header: Option<&str>, now: i64) -> Result<bool, Rejection> {
    let keys: Vec<SecretString> = keys.iter().map(|key| SecretString::from(*key)).collect();
    let verifier = Verifier::<Calendly>::new(&keys, Duration::from_mins(3), late);
    let mut headers = HeaderMap::new();
    if let Some(header) = header {
        headers.insert(Calendly::HEADER, HeaderValue::from_bytes(header.as_bytes()).unwrap());
    }
    let now = Timestamp::from_second(now).unwrap();
    verifier.verify(&headers, Bytes::from_static(BODY), now).map(|verified| verified.is_late())
}

fn verify(header: &str) -> Result<bool, Rejection> {
    verify_with(&[KEY], LateDeliveries::Reject, Some(header), NOW)
}

#[test]
fn right_signatures() {
    let right = sign(KEY, &NOW.to_string(), BODY);
    let wrong = sign("other", &NOW.to_string(), BODY);
    for header in [
        format!("t={NOW},v1={right}"),
        format!("v1={right},t={NOW}"),
        format!("t={NOW},v1={wrong},v1={right}"),
        format!("t={NOW},v1={right},v1={wrong}"),
        format!("t={NOW},v0={wrong},v1={right}"),
        format!("t={NOW},v1=zz,v1={right}"),
        format!("t={NOW},scheme=new,v1={right}"),
    ] {
        assert_eq!(verify(&header), Ok(false), "{header}");
    }
}

/// Every way that we could think of to get a signature wrong.
fn bad_headers() -> Vec<String> {
    let now = NOW.to_string();
    let right = sign(KEY, &now, BODY);
    let upper = right.to_uppercase();
    let half = &right[..32];
    let odd = &right[..63];
    let mut flipped = right.clone();
    flipped.replace_range(63.., if right.ends_with('0') { "1" } else { "0" });
    let other_key = sign("other", &now, BODY);
    let other_body = sign(KEY, &now, b"{}");
    let no_time = sign(KEY, "", BODY);
    let many = vec![format!("v1={other_key}"); 40].join(",");
    vec![
        String::new(),
        right.clone(),
        format!("v1={right}"),
        format!("t={now}"),
        format!("t={now},v1="),
        format!("t=,v1={no_time}"),
        format!("t={now},v1={upper}"),
        format!("t={now},v1={odd}"),
        format!("t={now},v1={half}"),
        format!("t={now},v1={right}00"),
        format!("t={now},v1={flipped}"),
        format!("t={now},v1={other_key}"),
        format!("t={now},v1={other_body}"),
        format!("t={now},v2={right}"),
        format!("t={now},V1={right}"),
        format!("T={now},v1={right}"),
        format!("t={now}, v1={right}"),
        format!(" t={now},v1={right}"),
        format!("t={now},v1={right} "),
        format!("t= {now},v1={right}"),
        format!("t={now} ,v1={right}"),
        format!("t={now},v1= {right}"),
        format!("t={now}\t,v1={right}"),
        format!("t={now},t={now},v1={right}"),
        format!("t={now},v1={right},t={now}"),
        format!("t={now};v1={right}"),
        format!("t={now},v1={right},"),
        format!(",t={now},v1={right}"),
        format!("t={now},,v1={right}"),
        format!("t={now},v1:{right}"),
        format!("t=-{now},v1={right}"),
        format!("t=+{now},v1={right}"),
        format!("t=0x65,v1={right}"),
        format!("t={now}.0,v1={right}"),
        format!("t=99999999999999999999,v1={right}"),
        format!("t={now},v1=0x{}", &right[2..]),
        format!("t={now},v1={}é", &right[..62]),
        format!("t={now},{many}"),
        format!("t={now},v1={right},x={}", "y".repeat(5000)),
    ]
}

#[test]
fn forged_and_malformed_signatures() {
    let bad = bad_headers();
    assert!(bad.len() >= 30);
    for header in bad {
        assert_eq!(verify(&header), Err(Rejection::Invalid), "{header}");
    }
    let right = format!("t={NOW},v1={}", sign(KEY, &NOW.to_string(), BODY));
    assert_eq!(verify_with(&[KEY], LateDeliveries::Reject, None, NOW), Err(Rejection::Invalid), "no header");
    assert_eq!(verify_with(&[], LateDeliveries::Reject, Some(&right), NOW), Err(Rejection::Invalid), "no key");
}

#[test]
fn two_headers_are_none() {
    let header = HeaderValue::from_str(&format!("t={NOW},v1={}", sign(KEY, &NOW.to_string(), BODY))).unwrap();
    let mut headers = HeaderMap::new();
    headers.append(Calendly::HEADER, header.clone());
    headers.append(Calendly::HEADER, header);
    let verifier =
        Verifier::<Calendly>::new(&[SecretString::from(KEY)], Duration::from_mins(3), LateDeliveries::Reject);
    let result = verifier.verify(&headers, Bytes::from_static(BODY), Timestamp::from_second(NOW).unwrap());
    assert_eq!(result.err(), Some(Rejection::Invalid));
}

#[test]
fn any_key_may_have_signed() {
    let header = format!("t={NOW},v1={}", sign(KEY, &NOW.to_string(), BODY));
    for keys in [[KEY, "new"], ["new", KEY]] {
        assert_eq!(verify_with(&keys, LateDeliveries::Reject, Some(&header), NOW), Ok(false));
    }
}

#[test]
fn the_tolerance_holds_both_ways() {
    let header = format!("t={NOW},v1={}", sign(KEY, &NOW.to_string(), BODY));
    let at = |now, late| verify_with(&[KEY], late, Some(&header), now);
    for (offset, strict, lenient) in [
        (0, Ok(false), Ok(false)),
        (180, Ok(false), Ok(false)),
        (-180, Ok(false), Ok(false)),
        (181, Err(Rejection::Stale), Ok(true)),
        (-181, Err(Rejection::Stale), Err(Rejection::Stale)),
        (86_400, Err(Rejection::Stale), Ok(true)),
    ] {
        assert_eq!(at(NOW + offset, LateDeliveries::Reject), strict, "{offset}");
        assert_eq!(at(NOW + offset, LateDeliveries::Accept), lenient, "{offset}");
    }
    // Stale and forged is forged: the two are counted apart.
    let forged = format!("t={NOW},v1={}", sign("other", &NOW.to_string(), BODY));
    let verified = verify_with(&[KEY], LateDeliveries::Accept, Some(&forged), NOW + 999);
    assert_eq!(verified, Err(Rejection::Invalid));
}

#[test]
fn replaced_keys_count_at_once() {
    let verifier =
        Verifier::<Calendly>::new(&["old".to_owned().into()], Duration::from_mins(3), LateDeliveries::Reject);
    let now = Timestamp::now();
    let signed_with = |key: &str| {
        let time = now.as_second().to_string();
        let mut headers = HeaderMap::new();
        headers.insert(Calendly::HEADER, format!("t={time},v1={}", sign(key, &time, b"x")).parse().unwrap());
        verifier.verify(&headers, Bytes::from_static(b"x"), now).is_ok()
    };
    assert_eq!((signed_with("old"), signed_with("new")), (true, false));
    verifier.keys().replace(&["new".to_owned().into(), "old".to_owned().into()]);
    assert_eq!((signed_with("old"), signed_with("new")), (true, true));
    verifier.keys().replace(&["new".to_owned().into()]);
    assert_eq!((signed_with("old"), signed_with("new")), (false, true));
}
