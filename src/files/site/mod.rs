//! A site as static hosts serve it: pages without their suffix, the rules of `_redirects` and `_headers` in the formats of Netlify
//! and Cloudflare Pages, single-page applications, and a 404 page of its own.
//!
//! Invariants:
//! - The rules are pure functions, so tables of rules and requests test them. Either every line of a file is good, or the first bad
//!   line is logged and the rules that were read from an earlier state of the file stay in force.
//! - A request is answered by the rules that the files have at that time. They are read as any file is, and what is kept of them is
//!   dropped when their file changes.

pub(crate) mod headers;
pub(crate) mod lines;
mod pattern;
#[cfg(any(test, fuzzing))]
pub(crate) mod properties;
pub(crate) mod redirects;
mod rules;
pub(super) mod step;
mod steps;
mod target;

pub(super) use self::rules::SiteRules;

/// The names of the files with the rules, which are in the served directory and never sent.
const REDIRECTS: &str = "_redirects";
const HEADERS: &str = "_headers";

/// Whether the file at this path has the rules of a site.
pub(super) fn has_rules(path: &[u8]) -> bool {
    path == REDIRECTS.as_bytes() || path == HEADERS.as_bytes()
}
