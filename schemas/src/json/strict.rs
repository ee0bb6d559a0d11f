//! One pass over a document whose values are what they should be, or `null`. Anything else is an error.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, DeserializeSeed, Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{Fields, Text, Value};

pub(super) fn document<'a, T: Fields<'a>>(text: &'a str) -> Result<T, serde_json::Error> {
    let read: Object<T> = serde_json::from_str(text)?;
    read.0.ok_or_else(|| serde_json::Error::custom("null"))
}

/// The value that comes next.
struct Next<'m, A>(&'m mut A);

impl<'de, A: MapAccess<'de>> Value<'de> for Next<'_, A> {
    type Error = A::Error;

    fn text(self) -> Result<Text<'de>, A::Error> {
        self.0.next_value_seed(TextOrNull)
    }

    fn scalar<T: DeserializeOwned>(self) -> Result<Option<T>, A::Error> {
        self.0.next_value()
    }

    fn object<T: Fields<'de>>(self) -> Result<Option<T>, A::Error> {
        self.0.next_value().map(|object: Object<T>| object.0)
    }

    fn skip(self) -> Result<(), A::Error> {
        self.0.next_value().map(|_: IgnoredAny| ())
    }
}

/// An object or `null`.
struct Object<T>(Option<T>);

impl<'de, T: Fields<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ObjectVisitor(PhantomData)).map(Object)
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Fields<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Option<T>, A::Error> {
        let mut fields = T::default();
        while let Some(name) = map.next_key_seed(TextOrNull)? {
            fields.set(name.as_deref().unwrap_or_default(), Next(&mut map))?;
        }
        Ok(Some(fields))
    }

    fn visit_unit<E: Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }
}

struct TextOrNull;

impl<'de> DeserializeSeed<'de> for TextOrNull {
    type Value = Text<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Text<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for TextOrNull {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Some(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Some(Cow::Owned(text.to_owned())))
    }

    fn visit_unit<E: Error>(self) -> Result<Text<'de>, E> {
        Ok(None)
    }
}
