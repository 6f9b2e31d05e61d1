//! The client that a connection counts for in `max_connections_per_ip`.
//!
//! Invariant: a connection counts for one client at most. That is the peer, from the accept to the close; the client that the PROXY
//! protocol names, from its header to the close; or the client that the fields of a request name, from the head to the end of
//! the reply. A trusted proxy itself is not counted.

use super::Connection;
use crate::config::ServerConfig;
use crate::handler::client::Client;
use crate::http::request::Request;
use crate::server::listen::addresses::Addresses;
use crate::wire::transport::Transport;

impl<T: Transport> Connection<T> {
    /// Whether the client may have this connection, too. The client of a trusted proxy is not known yet.
    pub(crate) fn has_room(&self, addresses: &Addresses) -> bool {
        self.client.proxied().is_some() || addresses.has_room(self.client.peer().ip())
    }

    /// Counts the connection, which was taken in.
    pub(crate) fn start_counting(&self, addresses: &mut Addresses) {
        if self.client.proxied().is_none() {
            addresses.enter(self.client.peer().ip());
        }
    }

    /// Counts the connection no longer, because it is closed.
    pub(crate) fn stop_counting(&mut self, addresses: &mut Addresses) {
        match self.client.proxied_mut() {
            None => addresses.leave(self.client.peer().ip()),
            Some(proxied) => {
                addresses.replace(&mut proxied.counted, None);
            }
        }
    }

    /// Counts the connection of a proxy no longer for the client of the request that was answered, if it is answered.
    #[cold]
    pub(super) fn stop_counting_client(&mut self, addresses: &mut Addresses) {
        if self.is_idle()
            && let Some(proxied) = self.client.proxied_mut()
            && proxied.is_forwarded()
        {
            addresses.replace(&mut proxied.counted, None);
        }
    }
}

/// Counts the connection of a proxy for the client of `request`. Returns whether there was room; if not, it counts for no client.
pub(super) fn count_request(
    client: &mut Client,
    request: &Request<'_>,
    addresses: &mut Addresses,
    config: &ServerConfig,
) -> bool {
    match client.proxied_mut() {
        Some(proxied) if proxied.is_forwarded() && addresses.has_limit() => {
            let client = proxied.counted_client(request.headers, config);
            addresses.replace(&mut proxied.counted, client)
        }
        _ => true,
    }
}
