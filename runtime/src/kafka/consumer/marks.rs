//! What is finished beyond the committed offset, as text for the commit's metadata.
//!
//! A lost or unreadable text costs repetitions and nothing else, so whatever is not ours is ignored.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

/// The version of the format. Another version is ignored.
const VERSION: &str = "f1:";
/// Brokers take 4096 bytes (`offset.metadata.max.bytes`); some are left to spare.
const MAX_TEXT: usize = 4000;
const MAX_BYTES: usize = (MAX_TEXT - VERSION.len()) / 4 * 3;

/// Writes the committed offset and the finished ranges behind it, which must be in order and apart. When not all of
/// them fit, the first ones do. Empty when nothing is finished beyond the mark.
pub(super) fn encode(mark: i64, finished: impl IntoIterator<Item = Range<i64>>) -> String {
    let mut bytes = Vec::new();
    write(&mut bytes, mark);
    let (mut end, mut written) = (mark, bytes.len());
    for range in finished {
        write(&mut bytes, range.start - end);
        write(&mut bytes, range.end - range.start);
        if bytes.len() > MAX_BYTES {
            bytes.truncate(written);
            break;
        }
        (end, written) = (range.end, bytes.len());
    }
    if end == mark { String::new() } else { format!("{VERSION}{}", BASE64.encode(bytes)) }
}

/// Reads the finished ranges, if the text was written for this offset: whoever moves a group's offset on purpose wants
/// the records again.
pub(super) fn decode(text: &str, committed: i64) -> Vec<Range<i64>> {
    read(text, committed).unwrap_or_default()
}

fn read(text: &str, committed: i64) -> Option<Vec<Range<i64>>> {
    let bytes = BASE64.decode(text.strip_prefix(VERSION)?).ok()?;
    let mut rest = bytes.as_slice();
    if read_number(&mut rest)? != committed {
        return None;
    }
    let (mut ranges, mut end) = (Vec::new(), committed);
    while !rest.is_empty() {
        let start = end.checked_add(read_number(&mut rest)?)?;
        end = start.checked_add(read_number(&mut rest)?)?;
        ranges.push(start..end);
    }
    Some(ranges)
}

/// Seven bits a byte, the lowest first; all numbers here are offsets or distances, so none is negative.
fn write(bytes: &mut Vec<u8>, number: i64) {
    let mut number = number.unsigned_abs();
    loop {
        let low = u8::try_from(number & 0x7f).unwrap_or_default();
        number >>= 7;
        if number == 0 {
            return bytes.push(low);
        }
        bytes.push(low | 0x80);
    }
}

fn read_number(rest: &mut &[u8]) -> Option<i64> {
    let mut number = 0_i64;
    for shift in (0..63).step_by(7) {
        let (byte, behind) = rest.split_first()?;
        *rest = behind;
        number |= i64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_as_written() {
        for mark in [0, 7, 1_i64 << 40, i64::MAX - 1000] {
            let ranges = [mark + 1..mark + 2, mark + 130..mark + 300, mark + 301..mark + 999];
            assert_eq!(decode(&encode(mark, ranges.clone()), mark), ranges);
        }
        assert_eq!(encode(5, []), "");
    }

    #[test]
    fn what_does_not_fit_is_left_out_from_the_end() {
        let ranges: Vec<_> = (0..10_000).map(|n| 10 + 2 * n..11 + 2 * n).collect();
        let text = encode(9, ranges.clone());
        assert!((3900..=MAX_TEXT).contains(&text.len()), "{} bytes", text.len());
        let read = decode(&text, 9);
        assert!(read.len() > 1400, "{} ranges", read.len());
        assert_eq!(read, ranges[..read.len()]);
    }

    #[test]
    fn foreign_broken_or_stale_text_is_ignored() {
        let good = encode(9, [10..20, 30..40]);
        assert!(decode(&good, 8).is_empty(), "the offset was moved by somebody");
        for text in ["", "f1:", "f1:*", "f2:CQEK", "{\"a\":1}", &good[..good.len() - 1], "f1:__________________8"] {
            assert!(decode(text, 9).is_empty(), "{text}");
        }
        // Cut anywhere, it yields a prefix at worst, never a range that was not written.
        for cut in 0..good.len() {
            let read = decode(&good[..cut], 9);
            assert!([10..20, 30..40].starts_with(&read), "{cut}");
        }
    }
}
