//! How far the kernel got with sending the bytes that it accepted. A socket that accepts no more bytes does not tell.
//!
//! Invariant: the kernel is asked only after a deadline has passed, or where the log says what a reply waited for. Otherwise
//! clients that keep reading cost no system call.

use std::mem::offset_of;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::libc::{self, tcp_info};
use nix::sys::socket::getsockopt;
use nix::{getsockopt_impl, sockopt_impl};

/// How far the kernel got with sending the bytes of one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivery {
    /// The number of bytes that the peer acknowledged since the connection began.
    pub(crate) acked: u64,
    /// The longer of two times: since the last bytes were sent, and since the last acknowledgement arrived.
    pub(crate) stalled: Duration,
}

impl Delivery {
    /// Asks the kernel; returns `None` if it does not tell.
    pub(crate) fn of(socket: &impl AsFd) -> Option<Self> {
        let record: InfoBytes = getsockopt(socket, TcpInfo).ok()?;
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

/// Returns how long the peer's window has kept the kernel from sending, since the connection began; `None` if the kernel does not
/// tell.
pub(crate) fn window_limited(socket: &impl AsFd) -> Option<Duration> {
    let record: InfoBytes = getsockopt(socket, TcpInfo).ok()?;
    let microseconds = record.get(offset_of!(tcp_info, tcpi_rwnd_limited)..)?;
    let microseconds = u64::from_ne_bytes(*microseconds.first_chunk()?);
    Some(Duration::from_micros(microseconds))
}

/// The start of `struct tcp_info`, up to the last field that is read. Every kernel since 4.10 has it; later fields differ.
type InfoBytes = [u8; offset_of!(tcp_info, tcpi_sndbuf_limited)];

sockopt_impl!(
    /// The `tcp_info` of a connection; neither the standard library nor socket2 has a call for it.
    TcpInfo,
    GetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_INFO,
    InfoBytes
);
