//! The header of the PROXY protocol, with which a connection of a trusted proxy begins where the configuration says so.
//!
//! Invariant: no byte of a request is parsed before the header is complete, and a connection without one is closed.

use std::io;
use std::net::SocketAddr;

use super::state::State;
use super::turn::Turn;
use super::unparsed::Unparsed;
use crate::handler::BaseHttpRequestHandler;
use crate::http::proxy_protocol::{self, ProxyHeader};
use crate::server::scratch::Scratch;
use crate::wire::next::Next;
use crate::wire::transport::Transport;

impl<T: Transport, H: BaseHttpRequestHandler> Turn<'_, T, H> {
    /// Reads the header, and goes on with what was sent behind it.
    pub(super) fn reading_proxy_header(
        &mut self,
        mut unparsed: Box<Unparsed>,
        scratch: &mut Scratch,
    ) -> io::Result<Next> {
        let Scratch { bytes, storage } = scratch;
        let Some(bytes) = self.read_requests(bytes)? else {
            self.connection.state = State::ReadingProxyHeader(unparsed);
            return Ok(Next::Wait);
        };
        if bytes.is_empty() {
            return Ok(Next::Close);
        }
        unparsed.bytes.extend_from_slice(bytes);
        match proxy_protocol::parse(&unparsed.bytes) {
            Ok(None) => {
                self.connection.state = State::ReadingProxyHeader(unparsed);
                Ok(Next::Continue)
            }
            Ok(Some(ProxyHeader { source, length })) => {
                if !self.take_source(source) {
                    self.context.server.counters.refused += 1;
                    return Ok(Next::Close);
                }
                unparsed.bytes.drain(..length);
                self.share.progress = true;
                if self.connection.transport.needs_handshake() {
                    return self.handshaking(&unparsed.bytes);
                }
                self.serve(unparsed.as_received(), storage)
            }
            Err(proxy_protocol::Malformed) => {
                let message = "a trusted proxy sent no valid header of the PROXY protocol";
                let (peer, clock) = (self.connection.peer(), &self.context.clock);
                self.context.log.error(peer, clock, message);
                Ok(Next::Close)
            }
        }
    }

    /// Notes the client that the header names, and returns whether it may have this connection, too.
    fn take_source(&mut self, source: Option<SocketAddr>) -> bool {
        let Some(proxied) = self.connection.client.proxied_mut() else {
            return true;
        };
        let address = proxied.take_header(source, self.context.server.config());
        let addresses = &mut self.context.addresses;
        addresses.replace(&mut proxied.counted, address)
    }
}
