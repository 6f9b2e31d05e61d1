//! The field lines of one request, borrowed from the bytes they arrived in.
//!
//! Names compare without case (RFC 9110 §5.1); values are bytes without the blanks around them, for HTTP allows
//! more than ASCII in them and promises no encoding.

use std::fmt;

use super::request::Field;

/// The header fields of a request, in the order in which they arrived.
#[derive(Clone, Copy, Default)]
#[doc(alias = "headers")]
#[doc(alias = "MessageClass")]
pub struct Headers<'a> {
    fields: &'a [Field<'a>],
}

impl<'a> Headers<'a> {
    pub(crate) fn new(fields: &'a [Field<'a>]) -> Self {
        Self { fields }
    }

    /// Returns the value of the first field called `name`, whatever its case.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.get_all(name).next()
    }

    /// Returns the values of all fields called `name`, whatever its case, in order of arrival.
    pub fn get_all(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.fields
            .iter()
            .filter(move |field| field.name.eq_ignore_ascii_case(name))
            .map(|field| field.value)
    }

    /// Returns the fields as pairs of name and value, in order of arrival.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.fields.iter().map(|field| (field.name, field.value))
    }
}

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self
            .iter()
            .map(|(name, value)| (name, value.escape_ascii().to_string()));
        f.debug_map().entries(shown).finish()
    }
}
