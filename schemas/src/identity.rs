//! What makes two deliveries the same happening.
//!
//! Calendly sends no delivery id, and two subscriptions that overlap deliver the same happening twice, with another
//! `created_by`. So the id of an event is a name-based UUID over what the happening is about, and nothing else.

use std::fmt::Write as _;

use serde_json::Value;
use uuid::Uuid;

/// Never to change: every id we ever published hangs on it.
const NAMESPACE: Uuid = Uuid::from_u128(0x7d1f_6c0e_3b0a_4f5e_9a67_52c1_b8f0_d9e4);

/// The id of a happening that is told by a few texts.
pub(crate) fn of_parts(parts: &[&str]) -> Uuid {
    let mut name = String::with_capacity(parts.iter().map(|part| part.len() + 8).sum());
    for part in parts {
        // The length in front keeps ("ab", "c") apart from ("a", "bc").
        let _infallible = write!(name, "{}:{part}", part.len());
    }
    Uuid::new_v5(&NAMESPACE, name.as_bytes())
}

/// The id of a happening that only its whole content tells. `payload` is JSON; what cannot be brought into a canonical
/// form (nested too deep, lone surrogates) counts byte for byte.
pub(crate) fn of_content(event: &str, created_at: &str, payload: &str) -> Uuid {
    let canonical = serde_json::from_str(payload).map(|value: Value| {
        let mut out = String::with_capacity(payload.len());
        write_canonical(&value, &mut out);
        out
    });
    of_parts(&[event, created_at, canonical.as_deref().unwrap_or(payload)])
}

/// Compact, keys sorted. The sorting is done here because `serde_json` sorts or not as some other crate's features say.
fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| *name);
            write_joined('{', '}', &fields, out, |(name, value), out| {
                let _infallible = write!(out, "{}:", Value::from(name.as_str()));
                write_canonical(value, out);
            });
        }
        Value::Array(items) => write_joined('[', ']', items, out, write_canonical),
        scalar => {
            let _infallible = write!(out, "{scalar}");
        }
    }
}

fn write_joined<T>(open: char, close: char, items: &[T], out: &mut String, write: impl Fn(&T, &mut String)) {
    out.push(open);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(item, out);
    }
    out.push(close);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(json: &str) -> String {
        let mut out = String::new();
        write_canonical(&serde_json::from_str(json).unwrap(), &mut out);
        out
    }

    #[test]
    fn canonical_form_ignores_order_blanks_and_escapes() {
        let expected = r#"{"a":[1,{"x":null,"y":"é"}],"b":true}"#;
        assert_eq!(canonical(r#"{ "b": true, "a": [1, {"y": "\u00e9", "x": null}] }"#), expected);
        assert_eq!(canonical(expected), expected);
        assert_eq!(canonical("{}"), "{}");
        assert_eq!(canonical("[]"), "[]");
    }

    #[test]
    fn content_without_canonical_form_still_has_an_id() {
        let deep = "[".repeat(1000) + &"]".repeat(1000);
        assert_eq!(of_content("e", "t", &deep), of_parts(&["e", "t", &deep]));
        assert_ne!(of_content("e", "t", r#""\ud800""#), of_content("e", "t", r#""\ud801""#));
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(of_parts(&["ab", "c"]), of_parts(&["a", "bc"]));
        assert_ne!(of_parts(&["a", ""]), of_parts(&["a"]));
    }

    /// A change here would make every redelivery look like a new event.
    #[test]
    fn ids_are_stable_across_releases() {
        let id = of_parts(&["invitee.created", "https://api.calendly.com/scheduled_events/A/invitees/B"]);
        assert_eq!(id.to_string(), "fa7542ad-cf2f-574f-abd4-26bfb255b661");
        let id = of_content("contact.created", "2026-07-01T00:00:00Z", r#"{ "b": [1, null], "a": "\u00e9" }"#);
        assert_eq!(id.to_string(), "f24eed7b-72d6-55e1-96b7-af38449d5803");
    }
}
