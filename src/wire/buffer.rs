//! Bytes on their way to the socket, and how many of them have left.

use std::io;
use std::mem;

use super::next::Next;
use super::share::{SMALL, Share};
use super::transport::Transport;

/// Bytes that are appended at the end and leave from the front.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    pub(crate) bytes: Vec<u8>,
    /// How many of `bytes` have left.
    sent: usize,
    /// Bytes that left before those.
    gone: usize,
}

impl From<Vec<u8>> for Buffer {
    fn from(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            ..Self::default()
        }
    }
}

impl Buffer {
    /// Bytes that have left.
    pub(crate) fn sent(&self) -> usize {
        self.gone + self.sent
    }

    /// Bytes that have not left.
    pub(crate) fn left(&self) -> usize {
        self.bytes.len() - self.sent
    }

    pub(crate) fn is_sent(&self) -> bool {
        self.sent == self.bytes.len()
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.sent = 0;
        self.gone = 0;
    }

    /// Takes out what has not left. Up to [`SMALL`] bytes are copied, so that this buffer keeps its memory for later use.
    pub(crate) fn split_off(&mut self) -> Self {
        if self.left() > SMALL {
            return mem::take(self);
        }
        let rest = Self {
            bytes: self.bytes.get(self.sent..).unwrap_or_default().to_vec(),
            sent: 0,
            gone: self.sent(),
        };
        self.clear();
        rest
    }

    /// Writes as much as the socket takes; `more` says that a body follows at once.
    // Inlined into both callers; one runs for every request.
    #[inline(always)]
    pub(crate) fn send(&mut self, transport: &mut impl Transport, more: bool) -> io::Result<Next> {
        let Some(rest @ [_, ..]) = self.bytes.get(self.sent..) else {
            return Ok(Next::Continue);
        };
        match transport.write(rest, more) {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            // A short write means that the socket is full. No second attempt is needed: its next edge tells when to go on.
            Ok(length) => {
                let is_whole = length == rest.len();
                self.sent += length;
                Ok(if is_whole { Next::Continue } else { Next::Wait })
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Next::Wait),
            Err(error) => Err(error),
        }
    }

    /// Writes as [`send`](Self::send) does, but at most as many bytes as the share has.
    pub(crate) fn send_share(
        &mut self,
        transport: &mut impl Transport,
        more: bool,
        share: &mut Share,
    ) -> io::Result<Next> {
        if share.whole && self.left() > share.bytes {
            return Ok(Next::Yield);
        }
        while let Some(rest @ [_, ..]) = self.bytes.get(self.sent..) {
            let piece = rest.get(..share.bytes).unwrap_or(rest);
            if piece.is_empty() {
                return Ok(Next::Yield);
            }
            match transport.write(piece, more || piece.len() < rest.len()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(length) => {
                    self.sent += length;
                    share.bytes -= length;
                    if length < piece.len() {
                        return Ok(Next::Wait);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Next::Wait),
                Err(error) => return Err(error),
            }
        }
        Ok(Next::Continue)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;
    use crate::wire::share::Cold;

    /// Takes so many bytes of each write in turn; `None` is WouldBlock.
    struct Takes(Vec<Option<usize>>);

    impl Transport for Takes {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn write(&mut self, _: &[u8], more: bool) -> io::Result<usize> {
            assert!(more);
            self.0.remove(0).ok_or(io::ErrorKind::WouldBlock.into())
        }

        fn send_file(&mut self, _: &File, _: u64, _: usize) -> io::Result<usize> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn shutdown(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn reset(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    #[test]
    fn a_short_write_is_not_tried_again() {
        let mut buffer = Buffer::from(b"hello".to_vec());
        let mut transport = Takes(vec![None, Some(2), Some(3)]);
        assert_eq!(buffer.send(&mut transport, true).unwrap(), Next::Wait);
        assert_eq!(buffer.send(&mut transport, true).unwrap(), Next::Wait);
        assert_eq!((buffer.sent(), transport.0.len()), (2, 1));
        assert_eq!(buffer.send(&mut transport, true).unwrap(), Next::Continue);
        // Nothing is left, so there is no further write, which would panic here.
        assert_eq!(buffer.send(&mut transport, true).unwrap(), Next::Continue);
        assert_eq!(buffer.sent(), 5);
    }

    #[test]
    fn what_is_split_off_goes_on_where_the_rest_ended() {
        for length in [5, SMALL + 5] {
            let mut buffer = Buffer::from(vec![b'x'; length]);
            let capacity = buffer.bytes.capacity();
            buffer.send(&mut Takes(vec![Some(2)]), true).unwrap();
            let mut rest = buffer.split_off();
            assert_eq!((rest.sent(), rest.left()), (2, length - 2));
            assert_eq!((buffer.sent(), buffer.left()), (0, 0));
            assert_eq!(buffer.bytes.capacity() == capacity, length < SMALL);
            rest.send(&mut Takes(vec![Some(1)]), true).unwrap();
            rest = rest.split_off();
            assert_eq!((rest.sent(), rest.left()), (3, length - 3));
        }
    }

    #[test]
    fn many_bytes_leave_as_the_share_allows() {
        let mut share = Share {
            bytes: 3,
            requests: 0,
            whole: true,
            cold: Cold::Read,
            turn: 0,
            progress: false,
        };
        let mut buffer = Buffer::from(b"hello".to_vec());
        let mut send = |share: &mut Share, takes: &[Option<usize>]| {
            let mut transport = Takes(takes.to_vec());
            let sent = buffer.send_share(&mut transport, true, share).unwrap();
            (sent, buffer.left(), share.bytes)
        };
        assert_eq!(send(&mut share, &[]), (Next::Yield, 5, 3));
        share.whole = false;
        assert_eq!(send(&mut share, &[None]), (Next::Wait, 5, 3));
        assert_eq!(send(&mut share, &[Some(2)]), (Next::Wait, 3, 1));
        assert_eq!(send(&mut share, &[Some(1)]), (Next::Yield, 2, 0));
        share.bytes = 3;
        assert_eq!(send(&mut share, &[Some(2)]), (Next::Continue, 0, 1));
    }

    #[test]
    fn a_write_that_takes_nothing_is_an_error_and_no_endless_loop() {
        let mut buffer = Buffer::from(b"hello".to_vec());
        let error = buffer.send(&mut Takes(vec![Some(0)]), true).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
    }
}
