//! The address of a peer, and how it is shown.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The peer of a UNIX socket, which has no address. No TCP peer has this one.
pub(crate) const UNIX_PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
/// How the peer of a UNIX socket is shown.
pub(crate) const UNIX: &str = "unix";

/// Writes the IP address of a peer.
pub(crate) struct PeerName(pub(crate) SocketAddr);

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == UNIX_PEER {
            f.write_str(UNIX)
        } else {
            self.0.ip().fmt(f)
        }
    }
}
