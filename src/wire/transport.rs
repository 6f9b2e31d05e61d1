//! What a connection needs of its socket, so that a scripted transport can drive the same machine in tests.
//!
//! Invariant: no call blocks; "not now" is [`io::ErrorKind::WouldBlock`], and an interrupted call is made again here.

use std::fs::File;
use std::io;
use std::net::Shutdown;
use std::time::Duration;

use mio::net::TcpStream;
use rustix::io::retry_on_intr;
use rustix::net::{RecvFlags, SendFlags};

use super::delivery::Delivery;

/// One non-blocking, ordered, two-way stream of bytes.
pub(crate) trait Transport {
    /// Reads what is there into `buffer`; fewer bytes than it holds mean that the socket is drained, 0 that the peer has
    /// closed its side.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;
    /// Writes as much of `bytes` as the socket takes; `more` says that something follows at once.
    fn write(&mut self, bytes: &[u8], more: bool) -> io::Result<usize>;
    /// Sends up to `length` bytes of `file` from `offset` on; 0 means that the file ends there.
    fn send_file(&mut self, file: &File, offset: u64, length: usize) -> io::Result<usize>;
    /// Closes our side, after what was written.
    fn shutdown(&mut self) -> io::Result<()>;
    /// Makes the close that follows a reset: what was written and has not left is thrown away.
    fn reset(&mut self) -> io::Result<()>;
    /// Tells how what was written gets on; `None` where nobody knows.
    fn delivery(&self) -> Option<Delivery> {
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
}
