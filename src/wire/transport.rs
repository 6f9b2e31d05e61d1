//! The operations of a connection on its socket, as a trait, so that tests can drive the same connection with a script.
//!
//! Invariant: no call blocks. A call that would block fails with [`io::ErrorKind::WouldBlock`]; an interrupted call is repeated
//! here.

use std::fs::File;
use std::io;
use std::net::Shutdown;
use std::time::Duration;

use mio::net::TcpStream;
use rustix::io::retry_on_intr;
use rustix::net::{RecvFlags, SendFlags};

use super::delivery::{self, Delivery};

/// How the handshake of a stream has ended.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "tls"),
    expect(dead_code, reason = "only TLS has a handshake")
)]
pub(crate) enum Handshake {
    /// The stream is encrypted from now on.
    Done {
        /// Whether the peer has resumed the session of an earlier connection.
        is_resumed: bool,
        /// The name of the server that the peer has asked for.
        server_name: Option<Box<str>>,
    },
    /// The peer has begun without a handshake. What it has sent is read next.
    PlainText,
}

/// A non-blocking, ordered, two-way stream of bytes.
pub(crate) trait Transport {
    /// Whether a handshake comes before everything else. Until it begins, reads return the bytes as they came.
    fn needs_handshake(&self) -> bool {
        false
    }
    /// Goes on with the handshake; `received` was read before it began.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if the peer has to act first; [`io::ErrorKind::InvalidData`] if it does not keep to the
    /// protocol, which the peer has been told.
    fn handshake(&mut self, received: &[u8]) -> io::Result<Handshake> {
        let _ = received;
        Ok(Handshake::PlainText)
    }
    /// Reads available bytes into `buffer`. Fewer bytes than its length mean that the socket is drained; 0 means that the peer
    /// has closed its side.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;
    /// Whether there is more to read even if the last read was short.
    fn has_more(&self) -> bool {
        false
    }
    /// Returns what the reads since the last call have cost beside the bytes that they returned, as bytes that could have been read in
    /// the same time.
    fn take_cost(&mut self) -> usize {
        0
    }
    /// Whether the stream has ended before the peer said so.
    fn is_cut(&self) -> bool {
        false
    }
    /// Whether the peer has not kept to the protocol of the stream, so that every call fails.
    fn has_failed(&self) -> bool {
        false
    }
    /// Writes as much of `bytes` as the socket takes; `more` says that another write follows at once. What did not leave is written
    /// again, before anything else.
    fn write(&mut self, bytes: &[u8], more: bool) -> io::Result<usize>;
    /// Sends up to `length` bytes of `file` from `offset` on; returns 0 if the file ends there.
    fn send_file(&mut self, file: &File, offset: u64, length: usize) -> io::Result<usize>;
    /// Tells the peer that no more bytes follow, if the stream has a way to say so while the socket is open.
    fn finish(&mut self) {}
    /// Has the next bytes that are written carry what [`finish`](Self::finish) sends. They are the last ones, in one write.
    fn finish_with_write(&mut self) {}
    /// Closes our side, after the bytes that were written.
    fn shutdown(&mut self) -> io::Result<()>;
    /// Makes the following close a reset: bytes that were written and not yet sent are discarded.
    fn reset(&mut self) -> io::Result<()>;
    /// Returns how far the written bytes got; `None` if that is unknown.
    fn delivery(&self) -> Option<Delivery> {
        None
    }
    /// Returns how long the peer's window has kept the written bytes here, since the connection began; `None` if that is unknown.
    fn window_limited(&self) -> Option<Duration> {
        None
    }
    /// Returns the bytes of memory that the stream keeps until the next event.
    fn memory(&self) -> usize {
        0
    }
}

impl Transport for TcpStream {
    // Inlined, as the write is: both run for every request.
    #[inline(always)]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (length, _) =
            retry_on_intr(|| rustix::net::recv(&*self, &mut *buffer, RecvFlags::empty()))?;
        Ok(length)
    }

    #[inline(always)]
    fn write(&mut self, bytes: &[u8], more: bool) -> io::Result<usize> {
        let flags = if more {
            SendFlags::NOSIGNAL | SendFlags::MORE
        } else {
            SendFlags::NOSIGNAL
        };
        Ok(retry_on_intr(|| rustix::net::send(&*self, bytes, flags))?)
    }

    fn send_file(&mut self, file: &File, offset: u64, length: usize) -> io::Result<usize> {
        let mut offset = offset;
        Ok(retry_on_intr(|| {
            rustix::fs::sendfile(&*self, file, Some(&mut offset), length)
        })?)
    }

    fn shutdown(&mut self) -> io::Result<()> {
        Self::shutdown(self, Shutdown::Write)
    }

    fn reset(&mut self) -> io::Result<()> {
        Ok(rustix::net::sockopt::set_socket_linger(
            &*self,
            Some(Duration::ZERO),
        )?)
    }

    fn delivery(&self) -> Option<Delivery> {
        Delivery::of(self)
    }

    fn window_limited(&self) -> Option<Duration> {
        delivery::window_limited(self)
    }
}
