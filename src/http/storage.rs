//! What was understood of the last head. It is kept because clients repeat the *tail* from head to head: everything after the
//! target.
//!
//! Invariant: the same bytes mean the same. What is known of a tail holds for no other tail, not even for one that only begins
//! like it, because the empty line at the end is part of the tail.

use super::framing::Meaning;
use super::headers::FieldSpan;
use super::request::{Field, RequestError, Version};

/// The fields of the last head, and their meaning. It also remembers the tail they stood in if the head was in the usual form:
/// single blanks in the request line, and a version.
#[derive(Debug, Default)]
pub(crate) struct Storage {
    /// From the blank before the version to the end of the head; empty where the head was not in the usual form.
    tail: Vec<u8>,
    /// Where the fields stand in the bytes that they were found in.
    pub(super) fields: Vec<FieldSpan>,
    pub(super) meaning: Meaning,
}

impl Storage {
    /// Stores what the fields of a head say, and where in `block` they stand.
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

    /// Remembers that the fields that were stored last stood in `tail`.
    pub(super) fn remember(&mut self, tail: &[u8]) {
        self.tail.extend_from_slice(tail);
    }

    /// Returns the tail at the front of `bytes` if it is the remembered one.
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

    /// Shows a request with these fields to `look`.
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
