//! Memory that all connections of a thread share: each uses it during one call.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// Bytes that one record holds at most (RFC 8446 §5.1). No more are sealed for one write, so a slow reader keeps no more in memory.
pub(super) const RECORD: usize = 16 * 1024;
/// Bytes that are read from the socket at once at most. If they are the smallest records, they take some milliseconds to open.
pub(super) const READ: usize = 32 * 1024;
/// Bytes by which sealing makes a record longer, at most: header, nonce, content type and tag.
const OVERHEAD: usize = 64;

/// Bytes on their way from one side to the other.
pub(super) struct Shared {
    pub(super) received: Vec<u8>,
    pub(super) file: Vec<u8>,
    pub(super) sealed: Vec<u8>,
}

thread_local! {
    // The pages of these cost nothing before the first connection with TLS.
    pub(super) static SHARED: RefCell<Shared> = RefCell::new(Shared {
        received: vec![0; READ],
        file: vec![0; RECORD],
        sealed: vec![0; RECORD + OVERHEAD],
    });
}

/// Fills `room` from `offset` on, as far as the file reaches.
pub(super) fn read_at(file: &File, room: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest @ [_, ..]) = room.get_mut(filled..) {
        match file.read_at(rest, offset + filled as u64) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
