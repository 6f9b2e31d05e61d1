//! What a listening socket speaks.

#[cfg(feature = "tls")]
use crate::wire::tls::config::TlsConfig;

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
    RedirectToHttps(u16),
}

impl Protocol {
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
