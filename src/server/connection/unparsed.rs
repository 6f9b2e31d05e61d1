//! Bytes of requests that were received and not parsed yet.
//!
//! Invariant: the bytes and the search for the end of their first head stay together.

use crate::http::head::HeadSearch;

/// Such bytes while they stand in the memory that they were read into.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received<'b> {
    pub(crate) bytes: &'b [u8],
    /// How far the first head was searched for its end.
    pub(crate) search: HeadSearch,
}

impl<'b> Received<'b> {
    pub(crate) fn new(bytes: &'b [u8]) -> Self {
        Self {
            bytes,
            search: HeadSearch::default(),
        }
    }

    /// Takes the head that ends at `end` off the front.
    pub(crate) fn take_head(&mut self, end: usize) {
        *self = Self::new(self.bytes.get(end..).unwrap_or_default());
    }
}

/// Such bytes while a connection keeps them.
#[derive(Debug)]
pub(crate) struct Unparsed {
    pub(crate) bytes: Vec<u8>,
    pub(crate) search: HeadSearch,
}

impl Unparsed {
    pub(crate) fn of(received: &Received<'_>) -> Self {
        Self {
            bytes: received.bytes.to_vec(),
            search: received.search,
        }
    }

    pub(crate) fn boxed(received: &Received<'_>) -> Box<Self> {
        Box::new(Self::of(received))
    }

    pub(crate) fn as_received(&self) -> Received<'_> {
        Received {
            bytes: &self.bytes,
            search: self.search,
        }
    }
}
