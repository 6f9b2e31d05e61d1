//! Requests that are read from several connections before the first of them is answered, so that one check of the file system
//! serves them all.
//!
//! Invariant: every byte of a group was read before its epoch begins, so a check within the epoch is later than each of its
//! requests. Bytes that do not fit a member's room are read later, and that read begins an epoch of its own.

use std::ops::Range;

/// Connections that share one check of the file system; a check costs a tenth of a request.
const MEMBERS: usize = 64;
/// Bytes that are read from one member; most heads are far shorter.
const ROOM: usize = 8 * 1024;

/// Requests that have been read and not answered, one of each connection.
#[derive(Debug, Default)]
pub(super) struct Group {
    members: Vec<Member>,
    /// What was read, one member behind the other. It is allocated at first use; pages that nothing was read into cost no memory.
    buffer: Box<[u8]>,
    used: usize,
}

/// One connection of a group.
#[derive(Debug)]
struct Member {
    key: usize,
    /// Where in the buffer its bytes are.
    bytes: Range<usize>,
    /// Whether its socket is registered at the poll.
    is_registered: bool,
}

impl Group {
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.members.len() == MEMBERS
    }

    /// Returns the room that the bytes of the next member are read into.
    #[inline]
    pub(super) fn room(&mut self) -> &mut [u8] {
        if self.buffer.is_empty() {
            self.buffer = vec![0; MEMBERS * ROOM].into();
        }
        let rest = self.buffer.get_mut(self.used..).unwrap_or_default();
        rest.first_chunk_mut::<ROOM>().map_or(&mut [], |room| room)
    }

    /// Adds the connection of which `length` bytes were read into [`room`](Self::room).
    #[inline]
    pub(super) fn push(&mut self, key: usize, length: usize, is_registered: bool) {
        let start = self.used;
        self.used += length;
        self.members.push(Member {
            key,
            bytes: start..self.used,
            is_registered,
        });
    }

    /// Takes out all members, and gives `answer` the key of each, its bytes, and whether it is registered.
    #[inline]
    pub(super) fn drain(&mut self, mut answer: impl FnMut(usize, &[u8], bool)) {
        for member in self.members.drain(..) {
            let bytes = self.buffer.get(member.bytes).unwrap_or_default();
            answer(member.key, bytes, member.is_registered);
        }
        self.used = 0;
    }
}
