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

/// A non-blocking, ordered, two-way stream of bytes.
pub(crate) trait Transport {
    /// Reads available bytes into `buffer`. Fewer bytes than its length mean that the socket is drained; 0 means that the peer
    /// has closed its side.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;
    /// Writes as much of `bytes` as the socket takes; `more` says that another write follows at once.
    fn write(&mut self, bytes: &[u8], more: bool) -> io::Result<usize>;
    /// Sends up to `length` bytes of `file` from `offset` on; returns 0 if the file ends there.
    fn send_file(&mut self, file: &File, offset: u64, length: usize) -> io::Result<usize>;
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
}

impl Transport for TcpStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (length, _) =
            retry_on_intr(|| rustix::net::recv(&*self, &mut *buffer, RecvFlags::empty()))?;
        Ok(length)
    }

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
