//! The rules that a site brings along: `_redirects` and `_headers`, in the formats of Netlify and Cloudflare Pages.
//!
//! Invariant: the functions here use no file, so tables of rules and requests test them. Either every line of a file is good, or the
//! first bad line is reported and none of its rules apply.

pub(crate) mod headers;
pub(crate) mod lines;
mod pattern;
#[cfg(any(test, fuzzing))]
pub(crate) mod properties;
pub(crate) mod redirects;
mod target;
