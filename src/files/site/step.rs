//! What a request of a site is tried with, one step after the other.
//!
//! Invariant: each step names one path. What is found there, or that nothing is there, is kept under that path, so a change anywhere
//! on the way is seen.

use super::{HEADERS, REDIRECTS};
use crate::http::status::HttpStatus;

/// The most directories between the served one and a `404.html`, so that a long path costs a few look-ups at most.
pub(super) const MAX_DEPTH: usize = 16;

/// A step. The next one is taken when nothing is found at the path of this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::files) enum Step {
    /// The file `_redirects`, which is read and not sent.
    Redirects,
    /// The file `_headers`, which is read and not sent.
    Headers,
    /// What the target means.
    Target,
    /// `about.html` for the target `/about`.
    TargetPage,
    /// `about.html` for the target `/about`, where `about` is a directory.
    PageBesideDirectory,
    /// The redirect from a directory to the same with a slash.
    Slash,
    /// What a rule of `_redirects` leads to, which is sent with this status.
    Rule(HttpStatus),
    /// `about.html` for the path `/about` of a rule.
    RulePage(HttpStatus),
    /// The directory that the path of a rule names without a slash.
    RuleDirectory(HttpStatus),
    /// The `index.html` of a single-page application.
    App,
    /// The `404.html` in the directory of this depth.
    NotFoundPage(usize),
}

impl Step {
    /// Returns the status of the reply with a file that is found in this step.
    pub(in crate::files) fn status(self) -> HttpStatus {
        match self {
            Self::Rule(status) | Self::RulePage(status) | Self::RuleDirectory(status) => status,
            Self::NotFoundPage(_) => HttpStatus::NOT_FOUND,
            _ => HttpStatus::OK,
        }
    }

    /// Whether the file is read for its rules, and not sent.
    pub(in crate::files) fn reads_rules(self) -> bool {
        matches!(self, Self::Redirects | Self::Headers)
    }

    /// Returns the name of the file that is read for its rules.
    pub(super) fn rule_file(self) -> &'static str {
        match self {
            Self::Redirects => REDIRECTS,
            _ => HEADERS,
        }
    }

    /// Returns the step that follows where this one has found a directory in place of a file.
    pub(super) fn beside_directory(self, depth: usize) -> Option<Self> {
        match self {
            Self::Target => Some(Self::PageBesideDirectory),
            step => step.next(depth),
        }
    }

    /// Returns the step after this one, for a target in a directory of this `depth`; `None` after the last one.
    pub(super) fn next(self, depth: usize) -> Option<Self> {
        match self {
            Self::Redirects => Some(Self::Headers),
            Self::Headers => Some(Self::Target),
            Self::Target => Some(Self::TargetPage),
            Self::PageBesideDirectory => Some(Self::Slash),
            Self::TargetPage | Self::Slash => Some(Self::Rule(HttpStatus::OK)),
            Self::Rule(status) => Some(Self::RulePage(status)),
            Self::RulePage(status) => Some(Self::RuleDirectory(status)),
            Self::RuleDirectory(_) => Some(Self::App),
            Self::App => Some(Self::NotFoundPage(depth.min(MAX_DEPTH))),
            Self::NotFoundPage(depth) => depth.checked_sub(1).map(Self::NotFoundPage),
        }
    }
}
