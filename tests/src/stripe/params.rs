//! Form bodies and query strings as Stripe reads them: bracket syntax, and nothing given twice.

use std::collections::BTreeMap;

use serde::Serialize;

use super::error::Refusal;

/// Parsed parameters under their bracketed names, such as `line_items[0][quantity]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Params(BTreeMap<String, String>);

impl Params {
    /// The value of one parameter, by its full bracketed name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// All parameters in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The entries of a hash: `group("metadata")` reads `metadata[…]`.
    pub fn group(&self, prefix: &str) -> BTreeMap<String, String> {
        let open = format!("{prefix}[");
        let inner = |name: &str| Some(name.strip_prefix(&open)?.strip_suffix(']')?.to_owned());
        let entries = self.iter().filter_map(|(name, value)| Some((inner(name)?, value.to_owned())));
        entries.filter(|(key, _)| !key.contains('[')).collect()
    }

    /// The values of a list: `list("expand")` reads `expand[0]`, `expand[1]`, …
    pub(super) fn list(&self, prefix: &str) -> Vec<String> {
        self.group(prefix).into_values().collect()
    }

    pub(super) fn int(&self, name: &str) -> Option<i64> {
        self.get(name).and_then(|value| value.parse().ok())
    }

    pub(super) fn owned(&self, name: &str) -> Option<String> {
        self.get(name).map(str::to_owned)
    }

    pub(super) fn parse(raw: &str) -> Result<Self, Refusal> {
        let mut params = BTreeMap::new();
        let mut appended: BTreeMap<String, usize> = BTreeMap::new();
        for pair in raw.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (mut name, value) = (decode(name)?, decode(value)?);
            if let Some(base) = name.strip_suffix("[]").map(str::to_owned) {
                let index = appended.entry(base.clone()).or_default();
                name = format!("{base}[{index}]");
                *index += 1;
            }
            if segments(&name).is_none() {
                return Err(Refusal::invalid(format!("Invalid parameter name: {name}")).param(&name));
            }
            if params.insert(name.clone(), value).is_some() {
                return Err(Refusal::invalid(format!("Parameter given twice: {name}")).param(&name));
            }
        }
        Ok(Self(params))
    }
}

/// `a[b][c]` as `["a", "b", "c"]`; `None` when the brackets do not fit.
pub(super) fn segments(name: &str) -> Option<Vec<&str>> {
    let (head, tail) = match name.find('[') {
        Some(at) => name.split_at(at),
        None => (name, ""),
    };
    let mut found = vec![head];
    let mut rest = tail;
    while !rest.is_empty() {
        let (inner, after) = rest.strip_prefix('[')?.split_once(']')?;
        found.push(inner);
        rest = after;
    }
    let sound = found.iter().all(|part| !part.is_empty() && !part.contains(['[', ']']));
    sound.then_some(found)
}

fn decode(text: &str) -> Result<String, Refusal> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next().unwrap_or(b'?'), rest.next().unwrap_or(b'?')];
                let mut value = [0u8; 1];
                hex::decode_to_slice(digits, &mut value).map_err(|_| Refusal::invalid("Invalid URL encoding"))?;
                value[0]
            }
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| Refusal::invalid("Invalid UTF-8 in the request"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_brackets_escapes_and_appended_lists() {
        let params = Params::parse("metadata%5Bbooking_id%5D=a+b%26c&expand[]=x&expand[]=y&e=").unwrap();
        assert_eq!(params.get("metadata[booking_id]"), Some("a b&c"));
        assert_eq!(params.group("metadata").get("booking_id").map(String::as_str), Some("a b&c"));
        assert_eq!(params.list("expand"), ["x", "y"]);
        assert_eq!(params.get("e"), Some(""));
    }

    #[test]
    fn refuses_what_does_not_parse() {
        for raw in ["a[b=1", "a]b=1", "a[b]c=1", "a=1&a=2", "a=%zz", "a=%4", "a=%ff", "[x]=1"] {
            assert!(Params::parse(raw).is_err(), "{raw}");
        }
    }
}
