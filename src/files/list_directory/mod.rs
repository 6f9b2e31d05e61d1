//! What a directory without an index page is answered with: its entries as a page, or as JSON.
//!
//! ```text
//! Reader ── Run, sorted ─┬─ at most a slice of entries: one page of known length
//!                        └─ Gathered ── Merge ── Entries, shared ── a Listing for each client, piece by piece
//! ```
//!
//! Invariant: one call reads one slice, merges one or writes a few KiB, so the largest directory neither stalls the loop nor
//! stands in memory as a page.

mod entries;
mod format;
mod html;
mod json;
mod listing;
mod order;
#[cfg(any(test, fuzzing))]
pub(crate) mod properties;
mod reader;
mod reading;
mod stored;
mod text;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode};

pub(crate) use self::entries::Run;
pub(crate) use self::format::Format;
pub(crate) use self::listing::{Form, Listing};
pub(crate) use self::order::Order;
pub(crate) use self::reader::{Reader, SLICE};
pub(crate) use self::reading::{Reading, ReadingError, Readings};

/// Every byte that is not unreserved (RFC 3986 §2.3): with `:` among them no name can be taken for a URL with a scheme.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Writes a name such that it is one segment of a path and nothing else, whatever its bytes are.
pub(crate) fn percent_encode(name: &[u8]) -> PercentEncode<'_> {
    percent_encoding::percent_encode(name, RESERVED)
}

/// Whether every byte of `name` means itself wherever it stands (RFC 3986 §2.3), as is so with most names.
fn is_plain(name: &[u8]) -> bool {
    const PLAIN: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 128 {
            table[byte] = (byte as u8).is_ascii_alphanumeric();
            byte += 1;
        }
        table[b'-' as usize] = true;
        table[b'.' as usize] = true;
        table[b'_' as usize] = true;
        table[b'~' as usize] = true;
        table
    };
    name.iter().all(|byte| PLAIN[usize::from(*byte)])
}

/// What a listing shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ListingOptions {
    /// Whether names that begin with a dot are shown; `.well-known` always is.
    pub(crate) dotfiles: bool,
}

#[cfg(test)]
mod tests;
