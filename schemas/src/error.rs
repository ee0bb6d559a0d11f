//! What an authentic delivery can lack.

/// Why an authentic delivery is no event. The reasons never quote the body: they end up in headers and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum InvalidPayload {
    /// JSON is UTF-8, and so is the Avro string that has to hold the body.
    #[error("the body is not UTF-8")]
    NotUtf8,
    /// Syntax, with the place where reading stopped.
    #[error("the body is not JSON (line {line}, column {column})")]
    NotJson {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// Valid JSON of another type.
    #[error("the body is not a JSON object")]
    NotAnObject,
    /// A required field is missing or of the wrong type.
    #[error("`{field}` is not {expected}")]
    Field {
        /// Path of the field.
        field: &'static str,
        /// "a string", "an object".
        expected: &'static str,
    },
}

impl InvalidPayload {
    pub(crate) const fn not_a_string(field: &'static str) -> Self {
        Self::Field { field, expected: "a string" }
    }

    pub(crate) const fn not_an_object(field: &'static str) -> Self {
        Self::Field { field, expected: "an object" }
    }
}
