//! What was understood of a head, kept until the next one: clients repeat all of it but the target, again and again.
//!
//! Invariant: the same bytes mean the same. What is known of a tail holds for no other, not even for one that only begins
//! like it, for the empty line at its end is part of it.

use super::framing::Meaning;
use super::headers::FieldSpan;
use super::request::{Field, RequestError, Version};

/// Room for the fields of one head, which remembers the last tail that was spelled as nearly all are.
#[derive(Debug, Default)]
pub(crate) struct Storage {
    /// The head from the blank before its version on; empty where it is not to be known again.
    tail: Vec<u8>,
    /// Where the fields stand in the bytes that they were found in.
    pub(super) fields: Vec<FieldSpan>,
    pub(super) meaning: Meaning,
}

impl Storage {
    /// Takes in what the fields of a head say, which stand in `block`.
    pub(super) fn read(
        &mut self,
        fields: &[Field<'_>],
        block: &[u8],
        version: Version,
    ) -> Result<(), RequestError> {
        self.tail.clear();
        self.meaning = Meaning::of(fields, version)?;
        self.fields.clear();
        self.fields
            .extend(fields.iter().map(|field| FieldSpan::of(field, block)));
        Ok(())
    }

    /// Remembers that what was read last stood in `tail`.
    pub(super) fn remember(&mut self, tail: &[u8]) {
        self.tail.extend_from_slice(tail);
    }

    /// Returns the tail at the front of `bytes`, if it is the one that is remembered.
    pub(super) fn recognise<'h>(&self, bytes: &'h [u8]) -> Option<&'h [u8]> {
        if self.tail.is_empty() || !bytes.starts_with(&self.tail) {
            return None;
        }
        bytes.get(..self.tail.len())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::config::ServerConfig;
    use crate::http::head::HeadSearch;
    use crate::http::request::Request;

    /// Shows a request that has these fields.
    pub(crate) fn request_with<R>(
        fields: &[(&str, &str)],
        look: impl FnOnce(&Request<'_>) -> R,
    ) -> R {
        let lines: String = fields
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let head = format!("GET / HTTP/1.0\r\n{lines}\r\n");
        let mut storage = Storage::default();
        let found = Request::find(
            head.as_bytes(),
            &mut HeadSearch::default(),
            &mut storage,
            &ServerConfig::default(),
        );
        look(&found.unwrap().unwrap().0)
    }
}
