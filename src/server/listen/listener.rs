//! Listening sockets, and what their accepts may return.
//!
//! Invariant: if an accept fails because no descriptor is left, every later turn tries again: the poll does not report it again.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Poll, Token};
use nix::sys::socket::getsockopt;
use rustix::io::Errno;
use rustix::net::sockopt::tcp_nodelay;

use super::bind::DeferAccept;

/// How long a loop without descriptors waits before it tries to accept again, if no event comes.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Tokens of listeners count down from here, those of connections up from 0.
pub(crate) const LAST_LISTENER: usize = usize::MAX - 3;

/// A listening socket of one loop.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) socket: TcpListener,
    pub(crate) accepting: Accepting,
    /// Whether nothing was accepted since accepting paused.
    pub(crate) was_paused: bool,
    /// Whether accepted connections have sent their first bytes already.
    pub(crate) is_deferred: bool,
    /// Whether accepted connections inherit TCP_NODELAY. It is not set here on sockets that were made elsewhere: connections
    /// that are in their queues already would not inherit it.
    is_nodelay: bool,
}

/// What is known about the connections that wait to be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accepting {
    /// There are none: the next one is an event.
    Idle,
    /// There may be more; this turn has taken enough.
    More,
    /// There are some, but no room or no descriptors for them.
    Paused,
    /// The socket has failed for good.
    Lost,
}

impl Listener {
    pub(crate) fn new(socket: TcpListener) -> Self {
        Self {
            is_deferred: getsockopt(&socket, DeferAccept).is_ok_and(|seconds| seconds > 0),
            is_nodelay: tcp_nodelay(&socket).unwrap_or(false),
            socket,
            accepting: Accepting::Idle,
            was_paused: false,
        }
    }

    /// Takes one connection from the queue; `None` where it is empty, or where no connection can be taken now.
    ///
    /// # Errors
    /// The socket has failed for good.
    pub(crate) fn accept(&mut self) -> io::Result<Option<(TcpStream, SocketAddr)>> {
        loop {
            match self.socket.accept() {
                Ok((stream, address)) => {
                    self.was_paused = false;
                    if !self.is_nodelay {
                        // A failure means that the peer is gone already.
                        let _ = stream.set_nodelay(true);
                    }
                    return Ok(Some((stream, canonical(address))));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.accepting = Accepting::Idle;
                    return Ok(None);
                }
                Err(error) => match Errno::from_io_error(&error) {
                    // The connection died in the queue; accept(2) passes its network errors on.
                    Some(
                        Errno::CONNABORTED
                        | Errno::PROTO
                        | Errno::NETDOWN
                        | Errno::NETUNREACH
                        | Errno::HOSTDOWN
                        | Errno::HOSTUNREACH
                        | Errno::INTR,
                    ) => {}
                    Some(Errno::BADF | Errno::INVAL | Errno::NOTSOCK | Errno::OPNOTSUPP) => {
                        return Err(error);
                    }
                    // There are no descriptors or no memory now, or the kernel refuses: a later turn tries again.
                    _ => {
                        self.accepting = Accepting::Paused;
                        return Ok(None);
                    }
                },
            }
        }
    }
}

/// A poll with its listeners. It can be made before the thread that will run its loop.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) poll: Poll,
    pub(crate) listeners: Vec<Listener>,
}

impl Endpoint {
    /// Registers `listeners` at a new poll.
    pub(crate) fn new(listeners: Vec<std::net::TcpListener>) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut registered = Vec::with_capacity(listeners.len());
        for (index, listener) in listeners.into_iter().enumerate() {
            listener.set_nonblocking(true)?;
            let mut socket = TcpListener::from_std(listener);
            poll.registry().register(
                &mut socket,
                Token(LAST_LISTENER - index),
                Interest::READABLE,
            )?;
            registered.push(Listener::new(socket));
        }
        Ok(Self {
            poll,
            listeners: registered,
        })
    }
}

/// Returns the IPv4 address of an IPv4 peer of a socket for both families, and any other address as it is.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ServerConfig;
    use crate::server::listen::bind::listen_all;

    #[test]
    fn accepted_connections_send_without_delay() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let own = listen_all(&[any], &ServerConfig::default()).unwrap();
        let made_elsewhere = vec![std::net::TcpListener::bind(any).unwrap()];
        for listeners in [own, made_elsewhere] {
            let address = listeners[0].local_addr().unwrap();
            let _early = std::net::TcpStream::connect(address).unwrap();
            let mut endpoint = Endpoint::new(listeners).unwrap();
            let _late = std::net::TcpStream::connect(address).unwrap();
            for _ in 0..2 {
                let accepted = endpoint.listeners[0].accept().unwrap();
                let (stream, _) = accepted.expect("the kernel has it");
                assert!(stream.nodelay().unwrap());
            }
        }
    }

    #[test]
    fn a_mapped_address_becomes_ipv4() {
        let mapped: SocketAddr = "[::ffff:10.1.2.3]:80".parse().unwrap();
        assert_eq!(canonical(mapped), "10.1.2.3:80".parse().unwrap());
    }
}
