//! The fields of a reply, checked: text from a handler, a setting or a file name reaches a head only as one of these types.
//!
//! Invariant: a [`FieldName`] is a token (RFC 9110 §5.1), and a [`FieldValue`] has no control byte except the tab (§5.5). Their
//! bytes are private, so all of them were checked; the compiler checks constants.

use std::fmt;
use std::io;

use super::date::ImfFixdate;
use super::token::{is_token, is_token_byte, is_value_byte};

/// The name of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FieldName<'a>(&'a str);

/// The value of a field. Bytes beyond ASCII are allowed, as they are in received fields.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct FieldValue<'a>(&'a [u8]);

/// The error for a name that is not a token, or a value with a control byte, such as CR or LF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ForbiddenBytes;

/// Fields that every page of a kind has, unless they were already set.
pub(crate) type DefaultFields = [(FieldName<'static>, FieldValue<'static>)];

impl FieldName<'static> {
    pub(crate) const ACCEPT_RANGES: Self = Self::constant("Accept-Ranges");
    pub(crate) const CACHE_CONTROL: Self = Self::constant("Cache-Control");
    pub(crate) const ACCESS_CONTROL_ALLOW_ORIGIN: Self =
        Self::constant("Access-Control-Allow-Origin");
    pub(crate) const ACCESS_CONTROL_EXPOSE_HEADERS: Self =
        Self::constant("Access-Control-Expose-Headers");
    pub(crate) const CONNECTION: Self = Self::constant("Connection");
    pub(crate) const CONTENT_ENCODING: Self = Self::constant("Content-Encoding");
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
        assert!(!name.is_empty(), "a name is not empty");
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
    /// Creates a value in a constant, where an invalid value does not compile.
    pub(crate) const fn constant(value: &'static str) -> Self {
        let value = value.as_bytes();
        let mut index = 0;
        while index < value.len() {
            assert!(is_value_byte(value[index]), "a value has no control bytes");
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

/// Complete field lines that are written into many heads.
#[derive(Clone, Debug, Default)]
pub(crate) struct FieldLines(Vec<u8>);

impl FieldLines {
    pub(crate) fn push(&mut self, name: FieldName<'_>, value: FieldValue<'_>) {
        // Without spare capacity, because many of these are kept.
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

/// Appends one field line.
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
    fn a_value_has_no_control_byte_except_the_tab() {
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
        fn lines_hold_exactly_the_pushed_fields(
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
