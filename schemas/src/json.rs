//! Lenient reading of JSON objects, borrowing from the text.
//!
//! A producer that we do not control adds fields, sends `null` and now and then another type. So a field that we do not
//! require is absent unless it is what we expect, and only broken syntax is an error.
//!
//! Almost every document is as it should be, and is read in one pass. Where that fails, it is read once more with its
//! values kept raw until they are asked for: that skips unexpected ones however deep they nest, and lets a string be
//! odd (a lone surrogate) without harm.

mod raw;
mod strict;

use std::borrow::Cow;

use serde::de::DeserializeOwned;

use crate::error::InvalidPayload;

/// A string that is there.
pub(crate) type Text<'a> = Option<Cow<'a, str>>;

/// The fields of an object that we read.
pub(crate) trait Fields<'a>: Default {
    /// Takes a field, or skips it. When a name repeats the last one counts.
    fn set<V: Value<'a>>(&mut self, name: &str, value: V) -> Result<(), V::Error>;
}

/// A field's value, read as what it should be.
pub(crate) trait Value<'a>: Sized {
    /// Why it cannot be told.
    type Error;

    /// A string, else nothing.
    fn text(self) -> Result<Text<'a>, Self::Error>;
    /// A number or a boolean, else nothing.
    fn scalar<T: DeserializeOwned>(self) -> Result<Option<T>, Self::Error>;
    /// An object, else nothing.
    fn object<T: Fields<'a>>(self) -> Result<Option<T>, Self::Error>;
    /// Whatever it is.
    fn skip(self) -> Result<(), Self::Error>;
}

/// Reads the outermost object.
pub(crate) fn document<'a, T: Fields<'a>>(text: &'a str) -> Result<T, InvalidPayload> {
    strict::document(text).or_else(|_| raw::document(text)).map_err(|error| invalid(&error))
}

/// The text of the outermost object's field; the last one when the name repeats.
pub(crate) fn part<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    raw::part(text, name)
}

fn invalid(error: &serde_json::Error) -> InvalidPayload {
    if error.is_data() {
        InvalidPayload::NotAnObject
    } else {
        InvalidPayload::NotJson { line: error.line(), column: error.column() }
    }
}

#[cfg(test)]
mod tests;
