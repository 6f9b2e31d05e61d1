//! Listening sockets, what they accept, and how many connections each client may have.

pub(crate) mod addresses;
pub(crate) mod bind;
pub(crate) mod handshakes;
pub(crate) mod listener;
pub(crate) mod protocol;
pub(crate) mod socket;
mod unix;
