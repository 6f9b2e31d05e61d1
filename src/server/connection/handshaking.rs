//! The handshake of TLS, with which a connection begins if its listener speaks HTTPS.
//!
//! Invariant: a handshake is charged to the loop's time for work, because its signature takes as long as several replies. A crowd of
//! new connections keeps the others waiting for no longer than that.

use std::io;
use std::mem;
use std::time::Instant;

use super::readable::Readable;
use super::state::State;
use super::turn::Turn;
use crate::handler::BaseHttpRequestHandler;
use crate::handler::client::Scheme;
use crate::wire::next::Next;
use crate::wire::transport::{Handshake, Transport};

impl<T: Transport, H: BaseHttpRequestHandler> Turn<'_, T, H> {
    /// Goes on with the handshake; `received` was read before it began.
    pub(super) fn handshaking(&mut self, received: &[u8]) -> io::Result<Next> {
        if received.is_empty() && self.context.allowance.is_spent() {
            self.connection.state = State::Handshaking;
            return Ok(Next::Work);
        }
        let began = Instant::now();
        let ended = self.connection.transport.handshake(received);
        self.context.allowance.charge(began.elapsed());
        match ended {
            Ok(handshake) => self.end_handshake(handshake),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.connection.state = State::Handshaking;
                // The peer may have closed its side behind what was read; no other event will tell.
                let is_end = mem::replace(&mut self.connection.readable, Readable::No);
                return Ok(if is_end == Readable::ToEnd {
                    Next::Continue
                } else {
                    Next::Wait
                });
            }
            Err(error) => {
                self.context.server.counters.tls_handshakes_failed += 1;
                return Err(error);
            }
        }
        self.share.progress = true;
        self.connection.state = State::Reading(None);
        Ok(Next::Continue)
    }

    /// Logs that the stream has ended within a request, and without close_notify.
    pub(super) fn log_cut(&mut self) {
        let message = "TLS was cut within a request: the peer sent no close_notify";
        let (client, clock) = (self.connection.client.source(), &self.context.clock);
        self.context.log.error(client, clock, message);
    }

    fn end_handshake(&mut self, handshake: Handshake) {
        let (connection, counters) = (&mut *self.connection, &mut self.context.server.counters);
        match handshake {
            Handshake::Done {
                is_resumed,
                server_name,
            } => {
                counters.tls_handshakes += 1;
                counters.tls_handshakes_resumed += u64::from(is_resumed);
                if let Some(name) = server_name {
                    connection.client.set_server_name(name);
                }
            }
            Handshake::PlainText => connection.client.scheme = Scheme::RedirectToHttps(None),
        }
        // What came with the handshake was the last event, if the socket has been read until it had nothing more.
        if connection.transport.has_more() {
            connection.hear(Readable::Bytes);
        } else if connection.readable == Readable::Bytes {
            connection.readable = Readable::No;
        }
    }
}
