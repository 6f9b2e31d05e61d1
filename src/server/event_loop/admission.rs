//! Which connections are taken in: as many as the limit allows. Beyond it, others [make room](super::room_search).
//!
//! Invariant: where no connection can make room, new ones stay in the kernel's queue: accepting never spins and never ends the
//! loop.

use std::io;
#[cfg(feature = "tls")]
use std::sync::Arc;

use mio::Poll;
use rustix::process::{Resource, getrlimit};

use super::connections::Eviction;
use super::dispatcher::Dispatcher;
use crate::config::ServerConfig;
use crate::handler::BaseHttpRequestHandler;
use crate::server::lifecycle::drain::Arrivals;
use crate::server::listen::listener::{Accepting, Listener, names};
#[cfg(feature = "tls")]
use crate::server::listen::protocol::Protocol;
#[cfg(feature = "tls")]
use crate::wire::tls::config::TlsConfig;

/// Connections that are accepted at once, so that a flood of them does not starve those that are there.
const ACCEPTS: usize = 256;
/// Closed connections that may hold descriptors beyond the limit until the turn ends.
const OVERDRAFT: usize = 8;

/// The listening sockets of one loop, and the limit on its connections.
#[derive(Debug)]
pub(super) struct Admission {
    listeners: Vec<Listener>,
    max_connections: usize,
}

impl Admission {
    /// Makes the admission of one of `loops` loops.
    pub(super) fn new(listeners: Vec<Listener>, config: &ServerConfig, loops: usize) -> Self {
        Self {
            listeners,
            max_connections: connections_allowed(config, loops),
        }
    }

    /// Returns how many listening sockets there are.
    pub(super) fn len(&self) -> usize {
        self.listeners.len()
    }

    /// Lets no client begin to connect any more; `is_busy` says that clients are likely to be connecting.
    pub(super) fn turn_away(&mut self, poll: &Poll, is_busy: bool) {
        for listener in &mut self.listeners {
            listener.turn_away(poll, is_busy);
        }
    }

    /// Tells which clients are still to be accepted, once new ones are turned away.
    pub(super) fn arrivals(&self) -> Arrivals {
        if self.has(Accepting::More) || self.has(Accepting::Paused) {
            Arrivals::Waiting
        } else if self
            .listeners
            .iter()
            .any(|listener| listener.has_handshakes)
        {
            Arrivals::Connecting
        } else {
            Arrivals::None
        }
    }

    /// Returns the addresses of the listening sockets, as text.
    pub(super) fn names(&self) -> String {
        names(&self.listeners)
    }

    /// Returns the certificates of all listeners, each once.
    #[cfg(feature = "tls")]
    pub(super) fn tls_configs(&self) -> Vec<TlsConfig> {
        let mut configs: Vec<TlsConfig> = Vec::new();
        for listener in &self.listeners {
            if let Protocol::Https(config) = &listener.protocol
                && !configs.iter().any(|known| is_same(known, config))
            {
                configs.push(config.clone());
            }
        }
        configs
    }

    /// Closes all listening sockets.
    pub(super) fn close(&mut self, poll: &Poll) {
        for mut listener in self.listeners.drain(..) {
            listener.deregister(poll);
        }
    }

    /// Whether a listening socket is in this state.
    pub(super) fn has(&self, accepting: Accepting) -> bool {
        self.listeners
            .iter()
            .any(|listener| listener.accepting == accepting)
    }

    /// Whether connections may wait at a listener without another event to come.
    pub(super) fn is_due(&self, index: usize) -> bool {
        self.listeners
            .get(index)
            .is_some_and(|listener| listener.accepting != Accepting::Idle)
    }

    /// Whether another process may accept from the queue of a listener, too.
    pub(super) fn is_inherited(&self, index: usize) -> bool {
        let listener = self.listeners.get(index);
        listener.is_some_and(|listener| listener.is_inherited)
    }

    /// Whether every listening socket is lost, so that no client can reach this loop.
    pub(super) fn is_lost(&self) -> bool {
        let is_lost = |listener: &Listener| listener.accepting == Accepting::Lost;
        self.listeners.iter().all(is_lost)
    }

    /// Takes in the connections that wait at a listener.
    ///
    /// # Errors
    /// The listening socket has failed for good.
    pub(super) fn accept<H: BaseHttpRequestHandler>(
        &mut self,
        index: usize,
        dispatcher: &mut Dispatcher<H>,
    ) -> io::Result<()> {
        let Some(listener) = self.listeners.get_mut(index) else {
            return Ok(());
        };
        if listener.accepting == Accepting::Lost {
            return Ok(());
        }
        for _ in 0..ACCEPTS {
            let is_full = dispatcher.connections.open() >= self.max_connections;
            let leaving = if is_full {
                dispatcher.find_room()
            } else {
                None
            };
            if is_full && leaving.is_none() {
                pause(listener, dispatcher);
                return Ok(());
            } else if dispatcher.connections.len() >= self.max_connections + OVERDRAFT {
                break;
            }
            let Some((stream, address)) = listener.accept()? else {
                if listener.accepting == Accepting::Paused {
                    relieve(listener, dispatcher);
                }
                return Ok(());
            };
            let is_taken = dispatcher.take_in(stream, address, listener);
            if let Some(key) = leaving.filter(|_| is_taken) {
                dispatcher.evict(key, Eviction::Connections);
            }
        }
        listener.accepting = Accepting::More;
        Ok(())
    }

    /// Gives up a listening socket, and describes its loss.
    pub(super) fn lose(&mut self, index: usize, error: &io::Error, poll: &Poll) -> io::Error {
        let mut address = String::new();
        if let Some(listener) = self.listeners.get_mut(index) {
            listener.accepting = Accepting::Lost;
            // Otherwise the poll would report it in every turn.
            listener.deregister(poll);
            address = listener.name();
        }
        let failure = format!("the socket that listened on {address} is lost: {error}");
        io::Error::new(error.kind(), failure)
    }
}

/// Closes a connection so that its descriptor can be used for the next one; there is no other left.
fn relieve<H: BaseHttpRequestHandler>(listener: &mut Listener, dispatcher: &mut Dispatcher<H>) {
    match dispatcher.find_room() {
        Some(key) => {
            dispatcher.evict(key, Eviction::Descriptors);
            listener.accepting = Accepting::More;
        }
        None => pause(listener, dispatcher),
    }
}

fn pause<H>(listener: &mut Listener, dispatcher: &mut Dispatcher<H>) {
    let counters = &mut dispatcher.context.server.counters;
    counters.accept_pauses += u64::from(!listener.was_paused);
    listener.was_paused = true;
    listener.accepting = Accepting::Paused;
}

/// Returns how many connections each of `loops` loops may have: its part of what is configured, else as many as it may have
/// descriptors.
fn connections_allowed(config: &ServerConfig, loops: usize) -> usize {
    let all = config
        .max_connections
        .unwrap_or_else(|| descriptors(config.file_threads));
    (all / loops.max(1)).max(1)
}

/// Returns how many descriptors all loops may use for connections: what the process's limit leaves beside a reserve for files, which
/// each of the `file_threads` may have open, too, and the loops' own.
fn descriptors(file_threads: usize) -> usize {
    let all = getrlimit(Resource::Nofile)
        .current
        .map_or(usize::MAX, |limit| limit as usize);
    let reserve = (all / 8).clamp(24, 256) + 2 * file_threads;
    all.saturating_sub(reserve)
}

#[cfg(feature = "tls")]
fn is_same(one: &TlsConfig, other: &TlsConfig) -> bool {
    Arc::ptr_eq(one.server_config(), other.server_config())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_shared_out_and_leave_room_for_files() {
        let allowed = |most, loops| {
            let config = ServerConfig::default().with(|config| config.max_connections = most);
            connections_allowed(&config, loops)
        };
        assert_eq!(allowed(Some(10), 1), 10);
        assert_eq!(allowed(Some(10), 4), 2);
        assert_eq!(allowed(Some(0), 1), 1);
        let limit = getrlimit(Resource::Nofile).current.unwrap() as usize;
        assert!(allowed(None, 1) <= limit - 24);
        assert_eq!(descriptors(4) + 8, descriptors(0));
    }
}
