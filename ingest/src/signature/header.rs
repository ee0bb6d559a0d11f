//! The signature header's grammar, read strictly: what the vendors do not write is not a signature.

/// More than any rotation needs; each costs a comparison.
const MAX_SIGNATURES: usize = 16;
const MAX_HEADER: usize = 4096;
/// Until the year 33658, and no overflow.
const MAX_DIGITS: usize = 12;

/// What a signature header says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Signatures<'a> {
    /// `t`, Unix seconds.
    pub(super) timestamp: i64,
    /// `t` as written, which is what was signed.
    pub(super) timestamp_text: &'a str,
    /// Every well-formed `v1`.
    pub(super) v1: Vec<[u8; 32]>,
}

impl<'a> Signatures<'a> {
    /// Reads `t=…,v1=…[,v1=…]`. Other elements, such as Stripe's `v0`, are passed over.
    ///
    /// A `v1` that is no lower-case hex of 32 bytes matches nothing; it does not spoil another one that does.
    pub(super) fn parse(header: &'a [u8]) -> Option<Self> {
        let header = std::str::from_utf8(header).ok().filter(|text| text.len() <= MAX_HEADER)?;
        if !header.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let mut timestamp = None;
        let mut v1 = Vec::new();
        for element in header.split(',') {
            let (name, value) = element.split_once('=')?;
            match name {
                "t" if timestamp.is_some() => return None,
                "t" => timestamp = Some((seconds(value)?, value)),
                "v1" if v1.len() >= MAX_SIGNATURES => return None,
                "v1" => v1.extend(hex32(value)),
                _ => {}
            }
        }
        let (timestamp, timestamp_text) = timestamp?;
        (!v1.is_empty()).then_some(Self { timestamp, timestamp_text, v1 })
    }
}

fn seconds(text: &str) -> Option<i64> {
    let is_number = (1..=MAX_DIGITS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

/// Decoded, never compared as text; `hex` would also take upper case.
fn hex32(text: &str) -> Option<[u8; 32]> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}
