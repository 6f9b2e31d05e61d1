//! What an event, or its absence, tells about bytes to read.

use std::io;

use crate::wire::transport::Transport;

/// What is known of bytes to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Readable {
    /// Nothing new has come.
    No,
    /// Bytes have come: a read that does not fill its room drains them.
    Bytes,
    /// More may come, or the peer has closed its side: only WouldBlock or the end of the stream ends the reading.
    ToEnd,
}

impl Readable {
    /// Reads once into `room`, and notes whether more may come: `None` where the socket has nothing now.
    // Inlined into both callers; one runs for every request.
    #[inline(always)]
    pub(crate) fn receive(
        &mut self,
        transport: &mut impl Transport,
        room: &mut [u8],
    ) -> io::Result<Option<usize>> {
        match transport.read(room) {
            Ok(length) => {
                // A short read has drained the socket, so no second read is needed to find out.
                if length < room.len() && *self == Self::Bytes && !transport.has_more() {
                    *self = Self::No;
                }
                Ok(Some(length))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                *self = Self::No;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}
