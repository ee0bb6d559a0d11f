//! W3C trace context: the `traceparent` that ties a delivery to everything done because of it.

use std::{fmt, str::FromStr};

/// A `traceparent` of version 00.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceParent {
    /// Never zero.
    pub trace_id: u128,
    /// Never zero.
    pub span_id: u64,
    /// As received; [`TraceParent::SAMPLED`] is the one flag that is ours to understand.
    pub flags: u8,
}

/// A text that is no `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a W3C traceparent")]
pub struct InvalidTraceParent;

impl TraceParent {
    /// The flag that asks for recording.
    pub const SAMPLED: u8 = 1;

    /// The root of a new trace, sampled. Zero is no id, so it counts as 1.
    pub fn new(trace_id: u128, span_id: u64) -> Self {
        Self { trace_id: trace_id.max(1), span_id: span_id.max(1), flags: Self::SAMPLED }
    }

    /// The same trace, one span further. Flags that version 00 does not define are not passed on.
    #[must_use]
    pub fn child(&self, span_id: u64) -> Self {
        Self { trace_id: self.trace_id, span_id: span_id.max(1), flags: self.flags & Self::SAMPLED }
    }

    /// Reads a `traceparent` as strictly as the recommendation asks: lowercase, no blanks, no zero ids, a later
    /// version only when its first four fields look like ours.
    pub fn parse(text: &str) -> Result<Self, InvalidTraceParent> {
        let mut fields = text.split('-');
        let mut field = |length| hex(fields.next(), length).ok_or(InvalidTraceParent);
        let version = field(2)?;
        let trace_id = field(32)?;
        let span_id = u64::try_from(field(16)?).map_err(|_| InvalidTraceParent)?;
        let flags = u8::try_from(field(2)?).map_err(|_| InvalidTraceParent)?;
        let more = fields.next().is_some();
        if version == 0xff || (version == 0 && more) || trace_id == 0 || span_id == 0 {
            return Err(InvalidTraceParent);
        }
        Ok(Self { trace_id, span_id, flags })
    }
}

fn hex(field: Option<&str>, length: usize) -> Option<u128> {
    let lowercase = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    let field = field.filter(|field| field.len() == length && field.bytes().all(lowercase))?;
    u128::from_str_radix(field, 16).ok()
}

impl FromStr for TraceParent {
    type Err = InvalidTraceParent;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, self.flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn reads_the_specifications_example() {
        let parent = TraceParent::parse(SPEC).unwrap();
        assert_eq!(parent.trace_id, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!(parent.span_id, 0x00f0_67aa_0ba9_02b7);
        assert_eq!(parent.flags, 1);
        assert_eq!(parent.to_string(), SPEC);
        assert_eq!(parent.child(0xb).to_string(), "00-4bf92f3577b34da6a3ce929d0e0e4736-000000000000000b-01");
    }

    #[test]
    fn takes_a_later_version_as_ours() {
        for later in ["cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", &format!("cc{}-what-else", &SPEC[2..])]
        {
            assert_eq!(TraceParent::parse(later), TraceParent::parse(SPEC), "{later}");
        }
    }

    #[test]
    fn refuses_the_rest() {
        for text in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.more",
        ] {
            assert_eq!(TraceParent::parse(text), Err(InvalidTraceParent), "{text:?}");
        }
    }

    #[test]
    fn a_root_has_ids_and_an_unknown_flag_is_not_inherited() {
        assert_eq!(TraceParent::new(0, 0).to_string(), "00-00000000000000000000000000000001-0000000000000001-01");
        assert_eq!(TraceParent { trace_id: 1, span_id: 1, flags: 0xff }.child(2).flags, 1);
        assert_eq!(TraceParent { trace_id: 1, span_id: 1, flags: 2 }.child(2).flags, 0);
    }
}
