//! The listing of a directory, as HTML or as JSON.
//!
//! ```text
//! Reader ── Run, sorted ─┬─ no more than a slice of entries: one Page
//!                        └─ Gathered ── Merge ── Entries, shared ── a Listing for each client, piece by piece
//! ```
//!
//! Invariant: one call reads one slice, merges one slice or writes a few KiB. So even the largest directory neither stalls the
//! loop nor is in memory as a page.

mod entries;
mod form;
mod format;
mod html;
mod json;
mod kept;
mod natural;
mod order;
#[cfg(any(test, fuzzing))]
pub(crate) mod properties;
mod reader;
mod reading;
mod readme;
mod request;
mod stored;
mod text;

pub(crate) use self::entries::Run;
pub(crate) use self::form::{Form, Listing, View};
pub(in crate::files) use self::kept::KeptListing;
pub(crate) use self::reader::{Reader, SLICE};
pub(crate) use self::reading::{Reading, ReadingError, Readings};
pub(in crate::files) use self::request::ListingRequest;

#[cfg(test)]
mod tests;
