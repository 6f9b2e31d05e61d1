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
mod form;
mod format;
mod html;
mod json;
mod order;
#[cfg(any(test, fuzzing))]
pub(crate) mod properties;
mod reader;
mod reading;
mod request;
mod stored;
mod text;

pub(crate) use self::entries::Run;
pub(crate) use self::form::{Form, Listing, View};
pub(crate) use self::reader::{Reader, SLICE};
pub(crate) use self::reading::{Reading, ReadingError, Readings};
pub(in crate::files) use self::request::ListingRequest;

/// What a listing shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ListingOptions {
    /// Whether names that begin with a dot are shown; `.well-known` always is.
    pub(crate) dotfiles: bool,
}

#[cfg(test)]
mod tests;
