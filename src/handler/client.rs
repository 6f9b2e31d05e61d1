//! The client of a connection, and the proxies that it came through.
//!
//! Invariant: only what a trusted proxy says changes the client; without one the client is the peer. The client of a request is
//! found anew from its fields wherever it is asked for, so it needs no memory and no time where nothing asks.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::num::NonZeroU16;

use crate::config::ServerConfig;
use crate::http::forwarded::{self, FoundClient};
use crate::http::headers::Headers;
use crate::http::host::{HTTP_PORT, HTTPS_PORT};

/// The client of a connection.
#[derive(Debug)]
pub(crate) struct Client {
    origin: Origin,
    /// The connection's key in its loop.
    key: u32,
    pub(crate) scheme: Scheme,
}

/// How a client reaches the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
    /// Every request is redirected to HTTPS on this port; `None` for the port that the client uses already.
    RedirectToHttps(Option<NonZeroU16>),
}

/// Where a connection comes from. It is as large as an address, so connections without a proxy or a name pay nothing for the others.
#[derive(Debug)]
enum Origin {
    Peer(Address),
    /// A client that has asked for a server by name.
    Named(Box<(SocketAddr, Box<str>)>),
    Proxy(Box<Proxied>),
}

/// The address of a peer: smaller than a [`SocketAddr`], because every connection has one. The flow label of IPv6 is not kept.
#[derive(Clone, Copy, Debug)]
struct Address {
    ip: IpAddr,
    port: u16,
    scope_id: u32,
}

/// A connection of a trusted proxy.
#[derive(Debug)]
pub(crate) struct Proxied {
    peer: SocketAddr,
    /// What the header of the PROXY protocol names, otherwise the peer.
    source: SocketAddr,
    /// Whether the source is a trusted proxy that has read the requests, so that their fields are looked at.
    is_forwarded: bool,
    /// The client that the connection counts for in `max_connections_per_ip`.
    pub(crate) counted: Option<IpAddr>,
    server_name: Option<Box<str>>,
}

impl Client {
    pub(crate) fn new(peer: SocketAddr, key: usize, scheme: Scheme, config: &ServerConfig) -> Self {
        let origin = if config.trusts(peer) {
            Origin::Proxy(Box::new(Proxied {
                peer,
                source: peer,
                is_forwarded: true,
                counted: None,
                server_name: None,
            }))
        } else {
            Origin::Peer(peer.into())
        };
        Self {
            origin,
            key: key as u32,
            scheme,
        }
    }

    /// Returns the connection's key in its loop.
    pub(crate) fn key(&self) -> usize {
        self.key as usize
    }

    /// Notes the server that the client asks for in the handshake of TLS.
    pub(crate) fn set_server_name(&mut self, name: Box<str>) {
        match &mut self.origin {
            Origin::Peer(peer) => {
                self.origin = Origin::Named(Box::new(((*peer).into(), name)));
            }
            Origin::Named(named) => named.1 = name,
            Origin::Proxy(proxied) => proxied.server_name = Some(name),
        }
    }

    /// Returns the server that the client asks for in the handshake of TLS.
    pub(crate) fn server_name(&self) -> Option<&str> {
        match &self.origin {
            Origin::Peer(_) => None,
            Origin::Named(named) => Some(&named.1),
            Origin::Proxy(proxied) => proxied.server_name.as_deref(),
        }
    }

    /// Returns the address of the other end of the connection.
    pub(crate) fn peer(&self) -> SocketAddr {
        match &self.origin {
            Origin::Peer(peer) => (*peer).into(),
            Origin::Named(named) => named.0,
            Origin::Proxy(proxied) => proxied.peer,
        }
    }

    /// Returns the client as far as the connection tells: the peer, or what the header of the PROXY protocol names.
    pub(crate) fn source(&self) -> SocketAddr {
        match &self.origin {
            Origin::Peer(peer) => (*peer).into(),
            Origin::Named(named) => named.0,
            Origin::Proxy(proxied) => proxied.source,
        }
    }

    /// Returns the client of a request with these fields.
    pub(crate) fn address(&self, headers: Headers<'_>, config: &ServerConfig) -> SocketAddr {
        match &self.origin {
            Origin::Peer(peer) => (*peer).into(),
            Origin::Named(named) => named.0,
            Origin::Proxy(proxied) => proxied.find(headers, config).address,
        }
    }

    /// Returns what is known of the connection of a trusted proxy; `None` for other peers.
    #[inline]
    pub(crate) fn proxied(&self) -> Option<&Proxied> {
        match &self.origin {
            Origin::Peer(_) | Origin::Named(_) => None,
            Origin::Proxy(proxied) => Some(proxied),
        }
    }

    #[inline]
    pub(crate) fn proxied_mut(&mut self) -> Option<&mut Proxied> {
        match &mut self.origin {
            Origin::Peer(_) | Origin::Named(_) => None,
            Origin::Proxy(proxied) => Some(proxied),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        let scope_id = match address {
            SocketAddr::V4(_) => 0,
            SocketAddr::V6(address) => address.scope_id(),
        };
        Self {
            ip: address.ip(),
            port: address.port(),
            scope_id,
        }
    }
}

impl From<Address> for SocketAddr {
    fn from(address: Address) -> Self {
        match address.ip {
            IpAddr::V4(_) => Self::new(address.ip, address.port),
            IpAddr::V6(ip) => SocketAddrV6::new(ip, address.port, 0, address.scope_id).into(),
        }
    }
}

impl Scheme {
    /// Returns the port of a URL that names none.
    pub(crate) fn default_port(self) -> u16 {
        match self {
            Self::Https => HTTPS_PORT,
            Self::Http | Self::RedirectToHttps(_) => HTTP_PORT,
        }
    }

    /// Whether requests are redirected to HTTPS.
    pub(crate) fn is_redirected(self) -> bool {
        matches!(self, Self::RedirectToHttps(_))
    }
}

impl Proxied {
    /// Notes the client that the header of the PROXY protocol names, and returns it if it counts for the whole connection.
    ///
    /// The proxy that sends the header need not read the requests, so only the fields of a trusted source are looked at. Without
    /// a source they may be the work of a client that is not known.
    pub(crate) fn take_header(
        &mut self,
        source: Option<SocketAddr>,
        config: &ServerConfig,
    ) -> Option<IpAddr> {
        self.is_forwarded = source.is_some_and(|source| config.trusts(source));
        let source = source?;
        self.source = source;
        (!self.is_forwarded).then(|| source.ip())
    }

    /// Returns the client to count for a request with these fields; `None` for a request of the proxy's own, and where the whole
    /// connection counts.
    pub(crate) fn counted_client(
        &self,
        headers: Headers<'_>,
        config: &ServerConfig,
    ) -> Option<IpAddr> {
        let found = self.is_forwarded.then(|| self.find(headers, config))?;
        (!found.is_proxy).then(|| found.address.ip())
    }

    /// Whether each request has a client of its own.
    pub(crate) fn is_forwarded(&self) -> bool {
        self.is_forwarded
    }

    /// Finds the client of a request with these fields.
    fn find(&self, headers: Headers<'_>, config: &ServerConfig) -> FoundClient {
        if self.is_forwarded {
            forwarded::client(headers, self.source, &config.trusted_proxies)
        } else {
            FoundClient {
                address: self.source,
                is_proxy: false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_as_large_as_its_address_and_its_key() {
        assert_eq!(size_of::<Client>(), size_of::<Address>() + 8);
        assert_eq!(size_of::<Address>(), 24);
    }
}
