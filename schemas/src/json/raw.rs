//! Values are skipped first and read when they are asked for: what they are then harms nothing but themselves.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{Fields, Text, Value};

pub(super) fn document<'a, T: Fields<'a>>(text: &'a str) -> Result<T, serde_json::Error> {
    let read: Object<T> = serde_json::from_str(text)?;
    Ok(read.0)
}

pub(super) fn part<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let Entries(entries) = serde_json::from_str(text).ok()?;
    let named = |(other, _): &&(&RawValue, &RawValue)| string(other).is_some_and(|other| other == name);
    entries.iter().rev().find(named).map(|(_, value)| value.get())
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
        let Entries(entries) = Entries::deserialize(deserializer)?;
        let mut fields = T::default();
        for (name, value) in entries {
            if let Some(name) = string(name) {
                let Ok(()) = fields.set(&name, value);
            }
        }
        Ok(Self(fields))
    }
}

/// Names and values as they stand there.
struct Entries<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor(PhantomData)).map(Self)
    }
}

struct EntriesVisitor<'a>(PhantomData<&'a ()>);

impl<'de> Visitor<'de> for EntriesVisitor<'de> {
    type Value = Vec<(&'de RawValue, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(entries)
    }
}
