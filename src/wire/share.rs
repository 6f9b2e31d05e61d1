//! How much one connection may do before the other connections have their turn.

use crate::config::ServerConfig;

/// One connection's share of a turn of the loop. It shrinks as it is used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    /// Bytes of bodies that may be sent or read.
    pub(crate) bytes: usize,
    /// Requests that may be answered.
    pub(crate) requests: usize,
    /// Whether a body is begun only if all of it fits into `bytes`.
    pub(crate) whole: bool,
    /// What is done about a file that is not in memory.
    pub(crate) cold: Cold,
    /// The number of the turn.
    pub(crate) turn: u64,
    /// Whether anything moved during the last call, so that the deadline begins anew.
    pub(crate) progress: bool,
}

/// What is done about a file that is not in memory. Where there are file threads, they read it, except with [`Read`](Self::Read).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cold {
    /// The loop reads it, and may wait for the disk.
    Read,
    /// The kernel is asked to read it ahead.
    Ask,
    /// Nothing: enough is being read ahead already.
    Wait,
}

impl Share {
    /// Makes the share of a connection that has the whole turn for itself.
    pub(crate) fn of(config: &ServerConfig, turn: u64) -> Self {
        Self {
            bytes: config.tuning.turn_bytes.max(1),
            requests: config.tuning.turn_requests.max(1),
            whole: false,
            cold: Cold::Read,
            turn,
            progress: false,
        }
    }
}

/// Up to so many bytes in memory are sent at once, without waiting in the queue: a batch of replies, a small file with its head.
pub(crate) const SMALL: usize = 128 * 1024;
