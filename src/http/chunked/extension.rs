//! The extensions of a chunk, `;name`, `;name=value` or `;name="value"`, byte by byte (RFC 9112 §7.1.1).
//!
//! Invariant: extensions are discarded, but must match the grammar exactly, because two parsers that disagree about this line
//! find different ends of the chunk.

use crate::http::token::{is_token_byte, is_value_byte};

/// What the decoder expects next in the extensions of one chunk.
#[derive(Clone, Copy, Debug)]
pub(super) enum Extension {
    /// Another blank, or the `;` after blanks.
    Semicolon,
    /// A name, or blanks before it.
    BeforeName,
    /// The rest of a name.
    Name,
    /// The `=` of a value or the `;` of another name, after blanks.
    AfterName,
    /// A value, or blanks before it.
    BeforeValue,
    /// The rest of a value that is a token.
    Value,
    /// The rest of a quoted value.
    Quoted,
    /// The byte after a backslash.
    Escaped,
    /// The `;`, blank or CR after a quoted value.
    AfterQuote,
}

impl Extension {
    /// Returns the state after `byte`; `None` if the byte is not allowed here.
    #[inline(never)] // Very few bodies have extensions; inlined, decoding the others takes 2.6 % more instructions.
    pub(super) fn after(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::BeforeName | Self::Name, _) if is_token_byte(byte) => Self::Name,
            (Self::BeforeValue | Self::Value, _) if is_token_byte(byte) => Self::Value,
            (Self::BeforeValue, b'"') => Self::Quoted,
            (Self::Quoted, b'"') => Self::AfterQuote,
            (Self::Quoted, b'\\') => Self::Escaped,
            (Self::Quoted | Self::Escaped, _) if is_value_byte(byte) => Self::Quoted,
            (Self::Name | Self::AfterName, b'=') => Self::BeforeValue,
            (Self::Name, b' ' | b'\t') => Self::AfterName,
            (Self::Value | Self::AfterQuote, b' ' | b'\t') => Self::Semicolon,
            (
                Self::Semicolon | Self::BeforeName | Self::AfterName | Self::BeforeValue,
                b' ' | b'\t',
            ) => self,
            (
                Self::Semicolon | Self::Name | Self::AfterName | Self::Value | Self::AfterQuote,
                b';',
            ) => Self::BeforeName,
            _ => return None,
        })
    }

    /// Returns whether the line may end here; it must not end after a blank.
    pub(super) fn may_end(self) -> bool {
        matches!(self, Self::Name | Self::Value | Self::AfterQuote)
    }
}
