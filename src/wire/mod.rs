//! Moves bytes between a socket, a file and memory.
//!
//! Invariant: no decision about the protocol is made here.

pub(crate) mod body;
pub(crate) mod buffer;
pub(crate) mod delivery;
pub(crate) mod file_range;
pub(crate) mod file_source;
pub(crate) mod file_threads;
pub(crate) mod log_file;
pub(crate) mod next;
pub(crate) mod share;
pub(crate) mod shared_file;
#[cfg(feature = "tls")]
pub(crate) mod socket;
pub(crate) mod source;
pub(crate) mod spool;
pub(crate) mod stderr;
#[cfg(feature = "tls")]
pub(crate) mod tls;
pub(crate) mod transport;
pub(crate) mod wake_on_drop;
