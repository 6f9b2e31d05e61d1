//! The extensions of a chunk, `;name`, `;name=value` or `;name="value"`, byte by byte (RFC 9112 §7.1.1).
//!
//! Invariant: what they say is thrown away, but all of it must be what the grammar has: the line of a chunk is where two
//! readers that disagree find different ends of it.

use super::is_text;
use crate::http::token::is_token_byte;

/// What is awaited next in the extensions of one chunk.
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
    /// The byte that a backslash quotes.
    Escaped,
    /// What follows the quote that ends a value.
    AfterQuote,
}

impl Extension {
    /// Returns what is awaited after `byte`; `None` if it cannot stand here. Not inlined: hardly any body has extensions.
    #[inline(never)]
    pub(super) fn after(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::BeforeName | Self::Name, _) if is_token_byte(byte) => Self::Name,
            (Self::BeforeValue | Self::Value, _) if is_token_byte(byte) => Self::Value,
            (Self::BeforeValue, b'"') => Self::Quoted,
            (Self::Quoted, b'"') => Self::AfterQuote,
            (Self::Quoted, b'\\') => Self::Escaped,
            (Self::Quoted | Self::Escaped, _) if is_text(byte) => Self::Quoted,
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

    /// Whether the line may end here: blanks stand only before more.
    pub(super) fn may_end(self) -> bool {
        matches!(self, Self::Name | Self::Value | Self::AfterQuote)
    }
}
