//! Taking connections in, up to a limit; at it others make [room](super::room).
//!
//! Invariant: where no connection can make room, the kernel's queue holds the rest: accepting never spins and never ends the loop.

use std::io;
use std::net::SocketAddr;

use mio::net::TcpStream;
use mio::{Interest, Poll, Token};
use rustix::process::{Resource, getrlimit};

use super::{EventLoop, NOBODY, Slot};
use crate::handler::BaseHttpRequestHandler;
use crate::server::connection::Connection;
use crate::server::listen::listener::{Accepting, Listener};
use crate::server::loop_context::Client;
use crate::server::state::Purpose;
use crate::server::timers::Timeout;

/// Connections accepted at once, so that a flood of them does not starve those that are there.
const ACCEPTS: usize = 256;
/// Connections that are closed and still hold their descriptors until the turn ends, beyond those that are allowed.
const OVERDRAFT: usize = 8;

impl<H: BaseHttpRequestHandler> EventLoop<H> {
    /// Goes on with what was left in a queue: its edge will not come again.
    pub(super) fn retry_accepts(&mut self) {
        for index in 0..self.listeners.len() {
            let waits = |listener: &Listener| listener.accepting != Accepting::Idle;
            if self.listeners.get(index).is_some_and(waits) {
                self.accept(index);
            }
        }
    }

    /// Takes in the connections that wait at a listener, and answers what those have sent that are known to bring a request.
    pub(super) fn accept(&mut self, index: usize) {
        self.take_waiting(index);
        self.answer_group();
    }

    fn take_waiting(&mut self, index: usize) {
        if self.listeners.get(index).is_none_or(is_lost) {
            return;
        }
        for _ in 0..ACCEPTS {
            let is_full = self.connections.len() - self.closed.len() >= self.max_connections;
            let leaving = if is_full { self.find_room() } else { None };
            if is_full && leaving.is_none() {
                return self.pause(index);
            } else if self.connections.len() >= self.max_connections + OVERDRAFT {
                break;
            }
            let Some(listener) = self.listeners.get_mut(index) else {
                return;
            };
            let (stream, address) = match listener.accept() {
                Ok(Some(accepted)) => accepted,
                Ok(None) if listener.accepting == Accepting::Paused => return self.relieve(index),
                Ok(None) => return,
                Err(error) => return self.lose(index, error),
            };
            let is_deferred = listener.is_deferred;
            let taken = self.take_in(stream, address, is_deferred);
            if let Some(key) = leaving.filter(|_| taken) {
                self.evict(key);
            }
        }
        self.set_accepting(index, Accepting::More);
    }

    /// A listening socket is of no use any more. The others go on; without any, the server ends as after a shutdown, for nobody
    /// could reach it.
    fn lose(&mut self, index: usize, error: io::Error) {
        let Some(listener) = self.listeners.get_mut(index) else {
            return;
        };
        listener.accepting = Accepting::Lost;
        // Its events would come for ever; where this fails, they cannot come.
        let _ = self.poll.registry().deregister(&mut listener.socket);
        let address = listener.socket.local_addr().unwrap_or(NOBODY);
        let failure = format!("the socket that listened on {address} is lost: {error}");
        self.context.log.text(format_args!("httpoll: {failure}\n"));
        self.failure
            .get_or_insert(io::Error::new(error.kind(), failure));
        if self.listeners.iter().all(is_lost) {
            self.drain();
        }
    }

    /// Says whether the connection was taken in. What is known to have brought a request with it (`is_deferred`) is read from
    /// at once, and made known to the poll only if it lives on.
    fn take_in(&mut self, mut stream: TcpStream, address: SocketAddr, is_deferred: bool) -> bool {
        self.context.server.counters.accepted += 1;
        let wanted = self.addresses.has_room(address.ip())
            && self
                .context
                .hook(address, |handler| handler.verify_request(address))
                == Some(true);
        if !wanted {
            self.context.server.counters.refused += 1;
            return false;
        }
        let entry = self.connections.vacant_entry();
        let key = entry.key();
        // A failure means that the peer is gone already, or that the kernel has no room for this one.
        if !is_deferred && open(&mut stream, &self.poll, key).is_err() {
            return false;
        }
        entry.insert(Slot {
            connection: Connection::new(stream, Client { address, key }),
            queued: false,
            closing: false,
            known: !is_deferred,
            kept: 0,
            kept_for: Purpose::default(),
        });
        self.addresses.enter(address.ip());
        self.context.hook(address, |handler| handler.setup(address));
        if is_deferred {
            self.receive(key);
        } else {
            self.wait_for_request(key);
        }
        true
    }

    /// Gives a connection that has sent nothing the time to do so.
    pub(super) fn wait_for_request(&mut self, key: usize) {
        let now = self.context.clock.instant;
        self.timers.arm(key, Timeout::KeepAlive, now);
    }

    /// Makes a connection known to the poll that is not known yet and lives on.
    pub(super) fn make_known(&mut self, key: usize) {
        let Some(slot) = self.connections.get_mut(key) else {
            return;
        };
        if slot.known || slot.closing {
            return;
        }
        slot.known = true;
        if open(slot.connection.transport_mut(), &self.poll, key).is_err() {
            self.close(key);
        }
    }

    /// There are no descriptors: a connection gives back its own.
    fn relieve(&mut self, index: usize) {
        match self.find_room() {
            Some(key) => {
                self.evict(key);
                self.set_accepting(index, Accepting::More);
            }
            None => self.pause(index),
        }
    }

    fn pause(&mut self, index: usize) {
        if let Some(listener) = self.listeners.get_mut(index) {
            self.context.server.counters.accept_pauses += u64::from(!listener.was_paused);
            listener.was_paused = true;
            listener.accepting = Accepting::Paused;
        }
    }

    fn set_accepting(&mut self, index: usize, accepting: Accepting) {
        if let Some(listener) = self.listeners.get_mut(index) {
            listener.accepting = accepting;
        }
    }
}

/// Makes `stream` known to the poll; what is there already is an event.
fn open(stream: &mut TcpStream, poll: &Poll, key: usize) -> io::Result<()> {
    let interest = Interest::READABLE | Interest::WRITABLE;
    poll.registry().register(stream, Token(key), interest)
}

fn is_lost(listener: &Listener) -> bool {
    listener.accepting == Accepting::Lost
}

/// How many connections each of `loops` loops may have: what is configured, else as many as it may have descriptors.
pub(super) fn connections_allowed(configured: Option<usize>, loops: usize) -> usize {
    let allowed = configured.map_or_else(|| descriptors(loops), |all| all / loops.max(1));
    allowed.max(1)
}

/// How many descriptors each of `loops` loops may use for connections: what the limit leaves beside a reserve for files and
/// the loop's own.
fn descriptors(loops: usize) -> usize {
    let all = getrlimit(Resource::Nofile)
        .current
        .map_or(usize::MAX, |limit| limit as usize);
    let reserve = (all / 8).clamp(24, 256);
    all.saturating_sub(reserve) / loops.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_shared_out_and_leave_room_for_files() {
        assert_eq!(connections_allowed(Some(10), 1), 10);
        assert_eq!(connections_allowed(Some(10), 4), 2);
        assert_eq!(connections_allowed(Some(0), 1), 1);
        let limit = getrlimit(Resource::Nofile).current.unwrap() as usize;
        assert!(connections_allowed(None, 1) <= limit - 24);
    }
}
