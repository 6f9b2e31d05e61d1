//! How the kernel gets on with the bytes that it took: what a socket that takes no more does not tell.
//!
//! Invariant: it is asked only where a deadline has passed, so nobody pays for it who reads.

use std::mem::offset_of;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::libc::{self, tcp_info};
use nix::sys::socket::getsockopt;
use nix::{getsockopt_impl, sockopt_impl};

/// How the bytes that the kernel was given get on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivery {
    /// Bytes that have reached the peer, since the connection began.
    pub(crate) acked: u64,
    /// For how long no bytes have left, or no word has come of the peer.
    pub(crate) stalled: Duration,
}

impl Delivery {
    /// Asks the kernel; `None` where it does not say.
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

/// The start of `struct tcp_info` up to the last field of interest. Every kernel since 4.1 has it; what follows differs.
type InfoBytes = [u8; offset_of!(tcp_info, tcpi_bytes_received)];

sockopt_impl!(
    /// What the kernel knows of a connection; neither the standard library nor socket2 has a call for it.
    TcpInfo,
    GetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_INFO,
    InfoBytes
);
