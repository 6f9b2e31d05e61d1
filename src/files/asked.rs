//! What a request asks for, and the keys under which its reply is kept.

use std::borrow::Cow;

use super::site::step::Step;

/// A path below the served directory, with the keys of its reply.
#[derive(Clone, Debug)]
pub(super) struct Asked<'p> {
    /// The path, followed by a slash if the target means a directory, and by the form of its listing.
    bytes: Cow<'p, [u8]>,
    path_length: usize,
    key_length: usize,
    as_directory: bool,
    /// The step of the request that asks for this path.
    pub(super) step: Step,
}

impl<'p> Asked<'p> {
    /// Takes `bytes`, of which the first `path_length` are the path and the first `key_length` the key of a file.
    pub(super) fn new(
        bytes: impl Into<Cow<'p, [u8]>>,
        path_length: usize,
        key_length: usize,
    ) -> Self {
        Self {
            bytes: bytes.into(),
            path_length,
            key_length,
            as_directory: key_length > path_length,
            step: Step::Target,
        }
    }

    /// Returns this as asked for by `step`.
    pub(super) fn at(self, step: Step, as_directory: bool) -> Self {
        Self {
            step,
            as_directory,
            ..self
        }
    }

    /// Returns the same with bytes of its own, for another thread.
    pub(super) fn to_owned(&self) -> Asked<'static> {
        Asked {
            bytes: Cow::Owned(self.bytes.to_vec()),
            path_length: self.path_length,
            key_length: self.key_length,
            as_directory: self.as_directory,
            step: self.step,
        }
    }

    /// Returns the path below the served directory.
    pub(super) fn path(&self) -> &[u8] {
        self.bytes.get(..self.path_length).unwrap_or_default()
    }

    /// Whether the target means a directory.
    pub(super) fn as_directory(&self) -> bool {
        self.as_directory
    }

    /// Returns the key of a file or an index page.
    pub(super) fn key(&self) -> &[u8] {
        self.bytes.get(..self.key_length).unwrap_or_default()
    }

    /// Returns the key of a listing.
    pub(super) fn listing_key(&self) -> &[u8] {
        &self.bytes
    }
}
