//! Lenient reading of JSON objects, borrowing from the text.
//!
//! A producer that we do not control adds fields, sends `null` and now and then another type. So a field that we do not
//! require is absent unless it is what we expect, and only broken syntax is an error. Values stay raw until they are
//! asked for: that skips unknown ones however deep they nest, and lets a string be odd (a lone surrogate) without harm.

use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::error::InvalidPayload;

/// The fields of an object that we read.
pub(crate) trait Fields<'a>: Default {
    /// Takes a field. When a name repeats the last one counts.
    fn set(&mut self, name: &str, value: &'a RawValue);
}

/// Reads the outermost object.
pub(crate) fn document<'a, T: Fields<'a>>(text: &'a str) -> Result<T, InvalidPayload> {
    let read: Result<Object<T>, _> = serde_json::from_str(text);
    read.map(|object| object.0).map_err(|error| {
        if error.is_data() {
            InvalidPayload::NotAnObject
        } else {
            InvalidPayload::NotJson { line: error.line(), column: error.column() }
        }
    })
}

/// An object, else nothing.
pub(crate) fn object<'a, T: Fields<'a>>(value: &'a RawValue) -> Option<T> {
    let value = value.get();
    if !value.starts_with('{') {
        return None;
    }
    serde_json::from_str(value).ok().map(|object: Object<T>| object.0)
}

/// A string, else nothing.
pub(crate) fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    let raw = value.get();
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') { serde_json::from_str(raw).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(inner)) }
}

/// A number or a boolean, else nothing.
pub(crate) fn scalar<'a, T: Deserialize<'a>>(value: &'a RawValue) -> Option<T> {
    serde_json::from_str(value.get()).ok()
}

struct Object<T>(T);

impl<'de, T: Fields<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData)).map(Object)
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
        while let Some((name, value)) = map.next_entry::<&'de RawValue, &'de RawValue>()? {
            if let Some(name) = text(name) {
                fields.set(&name, value);
            }
        }
        Ok(fields)
    }
}
