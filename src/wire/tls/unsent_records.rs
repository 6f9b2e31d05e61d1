//! Records that the socket has not taken.

use std::io;
use std::mem;

use crate::wire::transport::Transport;

/// Records on their way to the socket. They keep no memory once they have left.
#[derive(Debug, Default)]
pub(super) struct UnsentRecords {
    pub(super) records: Vec<u8>,
    sent: usize,
    /// Bytes of the application in these records, which no write has reported.
    holds: usize,
}

impl UnsentRecords {
    /// Appends `records`, which hold so many bytes of the application. Nothing else that is kept holds any.
    pub(super) fn keep(&mut self, records: &[u8], holds: usize) {
        self.records.extend_from_slice(records);
        self.holds = holds;
    }

    /// Writes until all records have left; `more` says that other bytes, or the end of the stream, follow at once.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if the socket takes no more; the peer or the network is gone.
    pub(super) fn send(&mut self, socket: &mut impl Transport, more: bool) -> io::Result<()> {
        while let Some(rest @ [_, ..]) = self.records.get(self.sent..) {
            match socket.write(rest, more)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                length => self.sent += length,
            }
        }
        self.sent = 0;
        self.records = Vec::new();
        Ok(())
    }

    /// Sends the rest of records of which a part may have left, before a write of `length` bytes that says `more`: what these records do
    /// not hold follows at once.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub(super) fn send_begun(
        &mut self,
        socket: &mut impl Transport,
        length: usize,
        more: bool,
    ) -> io::Result<()> {
        if self.sent > 0 || self.holds > 0 {
            self.send(socket, more || self.holds < length)?;
        }
        Ok(())
    }

    /// Takes out records that have not begun to leave.
    pub(super) fn take(&mut self) -> Vec<u8> {
        mem::take(&mut self.records)
    }

    /// Reports up to `most` bytes of the application in records that have left.
    pub(super) fn take_held(&mut self, most: usize) -> usize {
        let rest = self.holds.saturating_sub(most);
        mem::replace(&mut self.holds, rest) - rest
    }
}
