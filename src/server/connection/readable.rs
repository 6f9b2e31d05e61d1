//! What an event, or its absence, tells about bytes to read; and reading them in a turn.

use std::io;

use super::Connection;
use super::turn::Turn;
use crate::handler::BaseHttpRequestHandler;
use crate::wire::transport::Transport;

/// Bytes of requests that are read at a time. If a client does not read its replies, the connection keeps as many as this.
const MAX_PIPELINED: usize = 32 * 1024;

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

impl<T: Transport, H: BaseHttpRequestHandler> Turn<'_, T, H> {
    /// Whether the socket may have something to read.
    pub(super) fn may_read(&self) -> bool {
        self.connection.readable != Readable::No
    }

    /// Reads as [`read`](Self::read) does, no more bytes than may be pipelined.
    #[inline]
    pub(super) fn read_requests<'s>(&mut self, room: &'s mut [u8]) -> io::Result<Option<&'s [u8]>> {
        let length = room.len().min(MAX_PIPELINED);
        self.read(room.get_mut(..length).unwrap_or_default())
    }

    /// Reads once: `None` where the socket has nothing now, no bytes where the peer has closed its side.
    pub(super) fn read<'s>(&mut self, room: &'s mut [u8]) -> io::Result<Option<&'s [u8]>> {
        let Connection {
            transport,
            readable,
            ..
        } = &mut *self.connection;
        if *readable == Readable::No {
            return Ok(None);
        }
        let length = readable.receive(transport, room)?;
        let cost = transport.take_cost();
        if cost > 0 {
            self.share.bytes = self.share.bytes.saturating_sub(cost);
            self.is_spent = self.share.bytes == 0;
        }
        // A check of the file system that was made before this read may be older than the request that was read.
        self.context.clock.begin_epoch();
        Ok(length.and_then(|length| room.get(..length)))
    }
}
