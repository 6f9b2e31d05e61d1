//! What a connection needs of its socket, so that a scripted transport can drive the same machine in tests.
//!
//! Invariant: no call blocks; "not now" is [`io::ErrorKind::WouldBlock`], and an interrupted call is made again here.

use std::fs::File;
use std::io;
use std::mem::offset_of;
use std::net::Shutdown;
use std::time::Duration;

use mio::net::TcpStream;
use nix::libc::{self, tcp_info};
use nix::sys::socket::getsockopt;
use nix::{getsockopt_impl, sockopt_impl};
use rustix::io::retry_on_intr;
use rustix::net::{RecvFlags, SendFlags};

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

/// How the bytes that the kernel was given get on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivery {
    /// Bytes that have reached the peer, since the connection began.
    pub(crate) acked: u64,
    /// For how long no bytes have left, or no word has come of the peer.
    pub(crate) stalled: Duration,
}

impl Delivery {
    /// Reads the kernel's record (`struct tcp_info`).
    fn from_record(record: &Record) -> Option<Self> {
        let milliseconds = |offset| Some(u32::from_ne_bytes(*record.get(offset..)?.first_chunk()?));
        let sent = milliseconds(offset_of!(tcp_info, tcpi_last_data_sent))?;
        let heard = milliseconds(offset_of!(tcp_info, tcpi_last_ack_recv))?;
        let acked = record.get(offset_of!(tcp_info, tcpi_bytes_acked)..)?;
        Some(Self {
            acked: u64::from_ne_bytes(*acked.first_chunk()?),
            stalled: Duration::from_millis(sent.max(heard).into()),
        })
    }
}

/// The start of `struct tcp_info` up to the last field of interest. Every kernel since 4.1 has it; what follows differs.
type Record = [u8; offset_of!(tcp_info, tcpi_bytes_received)];

sockopt_impl!(
    /// What the kernel knows of a connection; neither the standard library nor socket2 has a call for it.
    TcpInfo,
    GetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_INFO,
    Record
);

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
        Delivery::from_record(&getsockopt(self, TcpInfo).ok()?)
    }
}
