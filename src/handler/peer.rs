//! The address of a peer, and how it is shown.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The peer of a UNIX socket, which has no address. No TCP peer has this one.
pub(crate) const UNIX_PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
/// How the peer of a UNIX socket is shown.
pub(crate) const UNIX: &str = "unix";

/// Returns the IP address of a peer as text.
pub(crate) fn name(address: SocketAddr) -> String {
    if address == UNIX_PEER {
        UNIX.to_owned()
    } else {
        address.ip().to_string()
    }
}
