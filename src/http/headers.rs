//! The field lines of one request, borrowed from the bytes they arrived in.
//!
//! Names compare without case (RFC 9110 §5.1). Values are bytes without the blanks around them, because HTTP allows more
//! than ASCII in them and defines no encoding.

use std::fmt;
use std::ops::Range;
use std::slice;

use super::request::Field;

/// Where a field stands in the bytes of its head.
#[derive(Clone, Debug)]
pub(crate) struct FieldSpan {
    name: Range<usize>,
    value: Range<usize>,
}

impl FieldSpan {
    /// Finds where `field`, which is borrowed from `block`, stands in it.
    pub(crate) fn of(field: &Field<'_>, block: &[u8]) -> Self {
        let span = |part: &[u8]| {
            let start = part.as_ptr().addr().wrapping_sub(block.as_ptr().addr());
            start..start.wrapping_add(part.len())
        };
        Self {
            name: span(field.name.as_bytes()),
            value: span(field.value),
        }
    }
}

/// The header fields of a request, in the order in which they arrived.
#[derive(Clone, Copy, Default)]
#[doc(alias = "headers")]
#[doc(alias = "MessageClass")]
pub struct Headers<'a> {
    block: &'a [u8],
    fields: &'a [FieldSpan],
}

impl<'a> Headers<'a> {
    pub(crate) fn new(block: &'a [u8], fields: &'a [FieldSpan]) -> Self {
        Self { block, fields }
    }

    /// The bytes that the fields stand in.
    pub(super) fn block(&self) -> &'a [u8] {
        self.block
    }

    /// Where in the block the fields stand.
    pub(super) fn spans(&self) -> &'a [FieldSpan] {
        self.fields
    }

    /// Returns the value of the first field called `name`, whatever its case.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.get_all(name).next()
    }

    /// Returns the values of all fields called `name`, whatever its case, in order of arrival.
    pub fn get_all(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.entries()
            .filter(move |(field, _)| field.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value)
    }

    /// Returns the fields as pairs of name and value, in order of arrival.
    pub fn iter(&self) -> HeadersIter<'a> {
        HeadersIter {
            block: self.block,
            fields: self.fields.iter(),
        }
    }

    /// Returns the fields as pairs of name and value in bytes, in order of arrival.
    pub(crate) fn entries(
        &self,
    ) -> impl DoubleEndedIterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let Self { block, fields } = *self;
        fields
            .iter()
            .map(|field| (part(block, &field.name), part(block, &field.value)))
    }

    /// Returns the value of the field that has this number in order of arrival.
    pub(crate) fn value(&self, number: usize) -> Option<&'a [u8]> {
        let field = self.fields.get(number)?;
        Some(part(self.block, &field.value))
    }
}

/// The fields of [`Headers`] as pairs of name and value, in order of arrival.
#[derive(Clone, Debug)]
pub struct HeadersIter<'a> {
    block: &'a [u8],
    fields: slice::Iter<'a, FieldSpan>,
}

impl<'a> Iterator for HeadersIter<'a> {
    type Item = (&'a str, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let FieldSpan { name, value } = self.fields.next()?;
        // A name is a token, so it is always text.
        let name = str::from_utf8(part(self.block, name)).unwrap_or_default();
        Some((name, part(self.block, value)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.fields.size_hint()
    }
}

impl ExactSizeIterator for HeadersIter<'_> {}

impl<'a> IntoIterator for Headers<'a> {
    type Item = (&'a str, &'a [u8]);
    type IntoIter = HeadersIter<'a>;

    fn into_iter(self) -> HeadersIter<'a> {
        self.iter()
    }
}

impl<'a> IntoIterator for &Headers<'a> {
    type Item = (&'a str, &'a [u8]);
    type IntoIter = HeadersIter<'a>;

    fn into_iter(self) -> HeadersIter<'a> {
        self.iter()
    }
}

fn part<'a>(block: &'a [u8], span: &Range<usize>) -> &'a [u8] {
    block.get(span.clone()).unwrap_or_default()
}

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self
            .iter()
            .map(|(name, value)| (name, value.escape_ascii().to_string()));
        f.debug_map().entries(shown).finish()
    }
}
