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

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    /// Says to each write in turn how much is taken of it; `None` is "not now".
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
        assert_eq!(buffer.send(&mut transport, true).unwrap(), Sent::Wait);
        assert_eq!(buffer.send(&mut transport, true).unwrap(), Sent::Wait);
        assert_eq!((buffer.sent(), transport.0.len()), (2, 1));
        assert_eq!(buffer.send(&mut transport, true).unwrap(), Sent::All);
        // Nothing is left, so nothing is written.
        assert_eq!(buffer.send(&mut transport, true).unwrap(), Sent::All);
        assert_eq!(buffer.sent(), 5);
    }

    #[test]
    fn a_write_that_takes_nothing_is_an_error_and_no_endless_loop() {
        let mut buffer = Buffer::from(b"hello".to_vec());
        let error = buffer.send(&mut Takes(vec![Some(0)]), true).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
    }
}
