//! Memory that the loop lends to one connection after the other.

use crate::http::storage::Storage;

/// What a connection may use during one call; nothing in it is kept for the connection.
#[derive(Debug)]
pub(crate) struct Scratch {
    /// Room for the bytes of one read. The pages of so large an allocation cost nothing until a read has filled them.
    pub(crate) bytes: Box<[u8]>,
    /// What was understood of the last request head.
    pub(crate) storage: Storage,
}

impl Scratch {
    pub(crate) fn new(length: usize) -> Self {
        Self {
            bytes: vec![0; length].into(),
            storage: Storage::default(),
        }
    }
}
