//! What a listening socket speaks.

#[cfg(feature = "tls")]
use std::num::NonZeroU16;

use mio::net::TcpStream;

use crate::handler::client::Scheme;
#[cfg(feature = "tls")]
pub(crate) use crate::wire::socket::Socket;
#[cfg(feature = "tls")]
use crate::wire::tls::config::TlsConfig;

/// The socket of a connection.
#[cfg(not(feature = "tls"))]
pub(crate) type Socket = TcpStream;

/// What the connections of a listening socket begin with.
#[derive(Clone, Debug, Default)]
pub(crate) enum Protocol {
    /// A request.
    #[default]
    Http,
    /// The handshake of TLS. A request in plain text is redirected to HTTPS on the same port.
    #[cfg(feature = "tls")]
    Https(TlsConfig),
    /// A request, which is redirected to HTTPS on this port.
    #[cfg(feature = "tls")]
    RedirectToHttps(NonZeroU16),
}

impl Protocol {
    /// Makes the socket of a connection that was accepted.
    pub(crate) fn open(&self, stream: TcpStream) -> Socket {
        #[cfg(feature = "tls")]
        return match self {
            Self::Https(config) => Socket::with_tls(stream, config),
            Self::Http | Self::RedirectToHttps(_) => Socket::plain(stream),
        };
        #[cfg(not(feature = "tls"))]
        stream
    }

    pub(crate) fn scheme(&self) -> Scheme {
        match self {
            Self::Http => Scheme::Http,
            #[cfg(feature = "tls")]
            Self::Https(_) => Scheme::Https,
            #[cfg(feature = "tls")]
            Self::RedirectToHttps(port) => Scheme::RedirectToHttps(Some(*port)),
        }
    }

    /// Returns what stands before the addresses that speak it, behind "Serving".
    pub(super) fn preposition(&self) -> &'static str {
        match self {
            Self::Http => "HTTP on",
            #[cfg(feature = "tls")]
            Self::Https(_) => "HTTPS on",
            #[cfg(feature = "tls")]
            Self::RedirectToHttps(_) => "redirects from",
        }
    }
}
