//! One pass over a document whose values are what they should be, or `null`. Anything else is an error.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{Fields, Text, Value};

pub(super) fn document<'a, T: Fields<'a>>(text: &'a str) -> Result<T, serde_json::Error> {
    serde_json::from_str(text).map(|object: Object<T>| object.0)
}

/// The value that comes next.
struct Next<'m, A>(&'m mut A);

impl<'de, A: MapAccess<'de>> Value<'de> for Next<'_, A> {
    type Error = A::Error;

    fn text(self) -> Result<Text<'de>, A::Error> {
        self.0.next_value().map(|text: Option<Str<'de>>| text.map(|text| text.0))
    }

    fn scalar<T: DeserializeOwned>(self) -> Result<Option<T>, A::Error> {
        self.0.next_value()
    }

    fn object<T: Fields<'de>>(self) -> Result<Option<T>, A::Error> {
        self.0.next_value().map(|object: Option<Object<T>>| object.map(|object| object.0))
    }

    fn skip(self) -> Result<(), A::Error> {
        self.0.next_value().map(|_: IgnoredAny| ())
    }
}

/// An object and nothing else: serde's own derive would take an array for one.
struct Object<T>(T);

impl<'de, T: Fields<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData)).map(Self)
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Fields<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let mut fields = T::default();
        while let Some(Str(name)) = map.next_key()? {
            fields.set(&name, Next(&mut map))?;
        }
        Ok(fields)
    }
}

/// Borrowed where it can be: serde's own `Cow` never is within an `Option`.
struct Str<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Str<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(StrVisitor).map(Self)
    }
}

struct StrVisitor;

impl<'de> Visitor<'de> for StrVisitor {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}
