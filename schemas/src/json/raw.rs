//! Values are skipped first and read when they are asked for: what they are then harms nothing but themselves.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, DeserializeSeed, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{Fields, Text, Value};

pub(super) fn document<'a, T: Fields<'a>>(text: &'a str) -> Result<T, serde_json::Error> {
    let read: Object<T> = serde_json::from_str(text)?;
    Ok(read.0)
}

pub(super) fn part<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut part = None;
    let take = |found: &str, value: &'a RawValue| {
        if found == name {
            part = Some(value.get());
        }
    };
    let whole = Entries(take, PhantomData).deserialize(&mut serde_json::Deserializer::from_str(text));
    whole.ok().and(part)
}

impl<'a> Value<'a> for &'a RawValue {
    type Error = Infallible;

    fn text(self) -> Result<Text<'a>, Infallible> {
        Ok(string(self))
    }

    fn scalar<T: DeserializeOwned>(self) -> Result<Option<T>, Infallible> {
        Ok(serde_json::from_str(self.get()).ok())
    }

    fn object<T: Fields<'a>>(self) -> Result<Option<T>, Infallible> {
        Ok(document(self.get()).ok())
    }

    fn skip(self) -> Result<(), Infallible> {
        Ok(())
    }
}

fn string(value: &RawValue) -> Text<'_> {
    let raw = value.get();
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') { serde_json::from_str(raw).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(inner)) }
}

struct Object<T>(T);

impl<'de, T: Fields<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = T::default();
        let set = |name: &str, value: &'de RawValue| {
            let Ok(()) = fields.set(name, value);
        };
        Entries(set, PhantomData).deserialize(deserializer)?;
        Ok(Self(fields))
    }
}

/// Calls what it holds with each name and value of an object.
struct Entries<'a, F>(F, PhantomData<&'a ()>);

impl<'de, F: FnMut(&str, &'de RawValue)> DeserializeSeed<'de> for Entries<'de, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: FnMut(&str, &'de RawValue)> Visitor<'de> for Entries<'de, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some((name, value)) = map.next_entry::<&'de RawValue, &'de RawValue>()? {
            // A name may be no text (a lone surrogate); none that we know is.
            if let Some(name) = string(name) {
                (self.0)(&name, value);
            }
        }
        Ok(())
    }
}
