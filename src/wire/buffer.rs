//! Bytes on their way out, and how many of them have left.

use std::io;

use super::transport::Transport;

/// How far a piece of a reply came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// All of it has left.
    All,
    /// The socket takes no more now.
    Wait,
    /// The budget of this turn is spent.
    Yield,
    /// There is nothing to send before the source is woken.
    Idle,
}

/// A growing run of bytes that leaves from its front.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    pub(crate) bytes: Vec<u8>,
    sent: usize,
}

impl From<Vec<u8>> for Buffer {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, sent: 0 }
    }
}

impl Buffer {
    pub(crate) fn sent(&self) -> usize {
        self.sent
    }

    pub(crate) fn is_sent(&self) -> bool {
        self.sent == self.bytes.len()
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.sent = 0;
    }

    /// Writes until all has left or the socket takes no more; `more` says that a body follows at once.
    pub(crate) fn send(&mut self, transport: &mut impl Transport, more: bool) -> io::Result<Sent> {
        while let Some(rest @ [_, ..]) = self.bytes.get(self.sent..) {
            match transport.write(rest, more) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                // A short write means that the socket is full: its next edge will tell, no second try is needed.
                Ok(length) if length < rest.len() => {
                    self.sent += length;
                    return Ok(Sent::Wait);
                }
                Ok(length) => self.sent += length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Sent::Wait),
                Err(error) => return Err(error),
            }
        }
        Ok(Sent::All)
    }
}
