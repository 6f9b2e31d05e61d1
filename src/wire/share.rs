//! What one connection may do before it is somebody else's turn, and what is left of it.

use crate::config::ServerConfig;

/// A share of a turn of the loop. It shrinks as it is used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    /// Bytes of bodies that may be sent or read.
    pub(crate) bytes: usize,
    /// Requests that may be answered.
    pub(crate) requests: usize,
    /// Whether only a body that fits in as a whole is begun.
    pub(crate) whole: bool,
    pub(crate) cold: Cold,
    /// The number of the turn that it is a share of.
    pub(crate) turn: u64,
    /// Whether anything moved in the last call that used it, so that a deadline begins anew.
    pub(crate) progress: bool,
}

/// What is done about a file that is not in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cold {
    /// It is read: there is no loop that would stand still, or nobody minds.
    Read,
    /// The kernel is asked to read it ahead.
    Ask,
    /// Enough is asked for already.
    Wait,
}

impl Share {
    /// All that a turn has.
    pub(crate) fn of(config: &ServerConfig, turn: u64) -> Self {
        Self {
            bytes: config.turn_bytes.max(1),
            requests: config.turn_requests.max(1),
            whole: false,
            cold: Cold::Read,
            turn,
            progress: false,
        }
    }
}

/// Bytes in memory up to which they are not worth a place in the queue: a batch of replies, a small file with its head.
pub(crate) const SMALL: usize = 128 * 1024;
