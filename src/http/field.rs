//! The fields of a reply as values that HTTP allows: whatever a handler, a setting or a file name says, it becomes one of
//! these or does not reach a head.
//!
//! Invariant: a [`FieldName`] is a token (RFC 9110 §5.1), and a [`FieldValue`] has no control byte but the tab (§5.5). Their
//! bytes are private, so every one of them was checked, by the compiler where it is a constant.

use std::fmt;
use std::io;

use super::date::ImfFixdate;
use super::token::{is_token, is_token_byte, is_value_byte};

/// The name of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FieldName<'a>(&'a str);

/// The value of a field; bytes beyond ASCII are allowed, as they are in what is received.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct FieldValue<'a>(&'a [u8]);

/// A name that is no token, or a value with a control byte, such as those that end a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ForbiddenBytes;

/// Fields that stand in the head of every page of a kind, unless something else has set them.
pub(crate) type DefaultFields = [(FieldName<'static>, FieldValue<'static>)];

impl FieldName<'static> {
    pub(crate) const ACCEPT_RANGES: Self = Self::constant("Accept-Ranges");
    pub(crate) const CONNECTION: Self = Self::constant("Connection");
    pub(crate) const CONTENT_RANGE: Self = Self::constant("Content-Range");
    pub(crate) const CONTENT_SECURITY_POLICY: Self = Self::constant("Content-Security-Policy");
    pub(crate) const CONTENT_TYPE: Self = Self::constant("Content-Type");
    pub(crate) const ETAG: Self = Self::constant("ETag");
    pub(crate) const LAST_MODIFIED: Self = Self::constant("Last-Modified");
    pub(crate) const SERVER: Self = Self::constant("Server");
    pub(crate) const TRANSFER_ENCODING: Self = Self::constant("Transfer-Encoding");
    pub(crate) const VARY: Self = Self::constant("Vary");
    pub(crate) const X_CONTENT_TYPE_OPTIONS: Self = Self::constant("X-Content-Type-Options");

    const fn constant(name: &'static str) -> Self {
        assert!(!name.is_empty(), "no field is without a name");
        let mut index = 0;
        while index < name.len() {
            assert!(is_token_byte(name.as_bytes()[index]), "a name is a token");
            index += 1;
        }
        Self(name)
    }
}

impl<'a> FieldName<'a> {
    pub(crate) fn new(name: &'a str) -> Result<Self, ForbiddenBytes> {
        is_token(name.as_bytes())
            .then_some(Self(name))
            .ok_or(ForbiddenBytes)
    }

    pub(crate) fn as_str(self) -> &'a str {
        self.0
    }
}

impl FieldValue<'static> {
    /// For constants alone: one that no field can have does not compile.
    pub(crate) const fn constant(value: &'static str) -> Self {
        let value = value.as_bytes();
        let mut index = 0;
        while index < value.len() {
            assert!(is_value_byte(value[index]), "a value is one line");
            index += 1;
        }
        Self(value)
    }
}

impl<'a> FieldValue<'a> {
    pub(crate) fn new(value: &'a [u8]) -> Result<Self, ForbiddenBytes> {
        let is_allowed = value.iter().all(|byte| is_value_byte(*byte));
        is_allowed.then_some(Self(value)).ok_or(ForbiddenBytes)
    }

    pub(crate) fn as_bytes(self) -> &'a [u8] {
        self.0
    }
}

impl<'a> From<&'a ImfFixdate> for FieldValue<'a> {
    fn from(date: &'a ImfFixdate) -> Self {
        Self(date.as_bytes())
    }
}

impl fmt::Debug for FieldValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl ForbiddenBytes {
    pub(crate) const MESSAGE: &'static str = "a header field with bytes that HTTP forbids";
}

impl From<ForbiddenBytes> for io::Error {
    fn from(_: ForbiddenBytes) -> Self {
        Self::new(io::ErrorKind::InvalidInput, ForbiddenBytes::MESSAGE)
    }
}

/// Whole field lines, one after the other, to be written into many heads.
#[derive(Clone, Debug, Default)]
pub(crate) struct FieldLines(Vec<u8>);

impl FieldLines {
    pub(crate) fn push(&mut self, name: FieldName<'_>, value: FieldValue<'_>) {
        // Exactly: many of them are kept.
        self.0
            .reserve_exact(name.0.len() + b": \r\n".len() + value.0.len());
        write_line(&mut self.0, name, value);
    }

    pub(crate) fn append(&mut self, lines: &Self) {
        self.0.extend_from_slice(&lines.0);
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Appends the line of one field.
pub(super) fn write_line(out: &mut Vec<u8>, name: FieldName<'_>, value: FieldValue<'_>) {
    out.extend_from_slice(name.0.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.0);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_is_a_token() {
        for name in ["A", "X-Mine", "content-type", "!#$%&'*+-.^_`|~"] {
            assert_eq!(FieldName::new(name), Ok(FieldName(name)));
        }
        for name in [
            "", " ", "A b", "A:", "A\r\nB", "A\n", "A\0", "A\x7f", "A\t", "Größe",
        ] {
            assert_eq!(FieldName::new(name), Err(ForbiddenBytes), "{name:?}");
        }
    }

    #[test]
    fn a_value_has_no_control_byte_but_the_tab() {
        for byte in 0..=u8::MAX {
            let allowed = byte == b'\t' || (byte >= b' ' && byte != 0x7f);
            for value in [vec![byte], vec![b'a', byte, b'b']] {
                assert_eq!(FieldValue::new(&value).is_ok(), allowed, "{value:?}");
            }
        }
        assert!(FieldValue::new(b"").is_ok());
    }

    proptest! {
        #[test]
        fn lines_say_what_was_pushed_and_nothing_else(
            fields in prop::collection::vec((".{0,6}", prop::collection::vec(any::<u8>(), 0..6)), 0..6)
        ) {
            let mut lines = FieldLines::default();
            let mut pushed = Vec::new();
            for (name, value) in &fields {
                if let (Ok(name), Ok(value)) = (FieldName::new(name), FieldValue::new(value)) {
                    lines.push(name, value);
                    pushed.push([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r"].concat());
                }
            }
            let mut read: Vec<_> = lines.as_bytes().split(|byte| *byte == b'\n').collect();
            prop_assert_eq!(read.pop(), Some(&b""[..]));
            prop_assert_eq!(read, pushed);
        }
    }
}
