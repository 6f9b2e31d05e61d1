//! Listening sockets, and what their accepts may return.
//!
//! Invariant: if an accept fails because no descriptor is left, every later turn tries again: the poll does not report it again.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Poll, Token};
use nix::sys::socket::getsockopt;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::sockopt::tcp_nodelay;
use rustix::net::{SocketFlags, accept_with};

use super::bind::DeferAccept;
use super::handshakes::Handshakes;
use super::protocol::Protocol;
use super::socket::{self, ListeningSocket};
use super::unix::SocketFile;
use crate::handler::peer::UNIX_PEER;

/// How long a loop without descriptors waits before it tries to accept again, if no event comes.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Tokens of listeners count down from here, those of connections up from 0.
pub(crate) const LAST_LISTENER: usize = usize::MAX - 4;

/// A listening socket of one loop.
#[derive(Debug)]
pub(crate) struct Listener {
    /// Held until new clients are turned away; the last holder removes the file. It is dropped before the socket.
    file: Option<Arc<SocketFile>>,
    /// A UNIX socket is in this type, too, and so are its connections: only addresses and options differ from TCP.
    pub(crate) socket: TcpListener,
    is_unix: bool,
    /// Whether another process may accept from its queue, too.
    pub(crate) is_inherited: bool,
    pub(crate) protocol: Protocol,
    pub(crate) accepting: Accepting,
    /// Whether nothing was accepted since accepting paused.
    pub(crate) was_paused: bool,
    /// Whether accepted connections have sent their first bytes already.
    pub(crate) is_deferred: bool,
    /// Whether accepted connections inherit TCP_NODELAY. It is not set here on sockets that were made elsewhere: connections
    /// that are in their queues already would not inherit it.
    is_nodelay: bool,
    /// The clients that are connecting. `None` for a socket that was handed in, because another process may have it too, and for a
    /// UNIX socket, where a client connects in one step.
    handshakes: Option<Handshakes>,
    /// Whether clients may be connecting that began before new ones were turned away.
    pub(crate) has_handshakes: bool,
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
    /// The socket has failed for good, or a successor accepts.
    Lost,
}

impl Listener {
    pub(crate) fn new(listening: ListeningSocket) -> io::Result<Self> {
        let listener = std::net::TcpListener::from(listening.socket);
        listener.set_nonblocking(true)?;
        let is_unix = listening.is_unix;
        Ok(Self {
            // A UNIX socket has neither option, and its connections delay nothing.
            is_deferred: getsockopt(&listener, DeferAccept).is_ok_and(|seconds| seconds > 0),
            is_nodelay: is_unix || tcp_nodelay(&listener).unwrap_or(false),
            socket: TcpListener::from_std(listener),
            is_unix,
            is_inherited: listening.is_inherited,
            protocol: listening.protocol,
            file: listening.file,
            accepting: Accepting::Idle,
            was_paused: false,
            handshakes: None,
            has_handshakes: false,
        })
    }

    /// Returns the address that the socket listens on, as text.
    pub(crate) fn name(&self) -> String {
        socket::name(&self.socket)
    }

    /// Lets no client begin to connect any more, as far as the socket allows it. A socket that another process may have, too, is not
    /// changed: an inherited one is left to the successor, and of one that was handed in only the queue is accepted. `is_busy` says
    /// that clients are likely to be connecting, so that no time is spent on finding out.
    pub(crate) fn turn_away(&mut self, poll: &Poll, is_busy: bool) {
        if self.is_inherited {
            self.accepting = Accepting::Lost;
            self.deregister(poll);
        } else if let Some(handshakes) = &mut self.handshakes {
            handshakes.stop(&self.socket);
            self.has_handshakes = is_busy || handshakes.may_be_under_way();
        }
        self.file = None;
    }

    /// Ends the events of the socket. They would not end with its close where another process has it too.
    pub(crate) fn deregister(&mut self, poll: &Poll) {
        // If this fails, the poll does not know the socket.
        let _ = poll.registry().deregister(&mut self.socket);
    }

    /// Takes one connection from the queue; `None` where it is empty, or where no connection can be taken now.
    ///
    /// # Errors
    /// The socket has failed for good.
    pub(crate) fn accept(&mut self) -> io::Result<Option<(TcpStream, SocketAddr)>> {
        loop {
            match self.accept_once() {
                Ok((stream, address)) => {
                    self.was_paused = false;
                    if let Some(handshakes) = &self.handshakes {
                        handshakes.accepted(&stream);
                    }
                    if !self.is_nodelay {
                        // A failure means that the peer is gone already.
                        let _ = stream.set_nodelay(true);
                    }
                    return Ok(Some((stream, address)));
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

    fn accept_once(&self) -> io::Result<(TcpStream, SocketAddr)> {
        if self.is_unix {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let stream = retry_on_intr(|| accept_with(&self.socket, flags))?;
            return Ok((TcpStream::from_std(stream.into()), UNIX_PEER));
        }
        let (stream, address) = self.socket.accept()?;
        Ok((stream, canonical(address)))
    }
}

/// A poll with its listeners. It can be made before the thread that will run its loop.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) poll: Poll,
    pub(crate) listeners: Vec<Listener>,
}

impl Endpoint {
    /// Registers `listeners`, which the server has opened itself, at a new poll.
    pub(crate) fn new(listeners: Vec<std::net::TcpListener>) -> io::Result<Self> {
        let mut endpoint = Self::with(Vec::<ListeningSocket>::new())?;
        for listener in listeners {
            let handshakes = Handshakes::new(listener.local_addr()?);
            let mut listener = Listener::new(listener.into())?;
            listener.handshakes = Some(handshakes);
            endpoint.register(listener)?;
        }
        Ok(endpoint)
    }

    /// Registers `listeners`, which were handed in or are UNIX sockets, at a new poll.
    pub(crate) fn with(
        listeners: impl IntoIterator<Item = impl Into<ListeningSocket>>,
    ) -> io::Result<Self> {
        let mut endpoint = Self {
            poll: Poll::new()?,
            listeners: Vec::new(),
        };
        for listening in listeners {
            endpoint.listen_on(listening.into())?;
        }
        Ok(endpoint)
    }

    /// Registers one more listener, which was handed in or is a UNIX socket.
    pub(crate) fn listen_on(&mut self, listening: ListeningSocket) -> io::Result<()> {
        self.register(Listener::new(listening)?)
    }

    /// Has all listeners speak this protocol.
    #[cfg(feature = "tls")]
    pub(crate) fn speak(&mut self, protocol: &Protocol) {
        for listener in &mut self.listeners {
            listener.protocol = protocol.clone();
        }
    }

    fn register(&mut self, mut listener: Listener) -> io::Result<()> {
        let token = Token(LAST_LISTENER - self.listeners.len());
        let registry = self.poll.registry();
        registry.register(&mut listener.socket, token, Interest::READABLE)?;
        self.listeners.push(listener);
        Ok(())
    }
}

/// Returns what `listeners` speak, and at which addresses: `HTTPS on [::]:443, 127.0.0.1:8443; redirects from [::]:80`.
pub(crate) fn names(listeners: &[Listener]) -> String {
    let alike =
        listeners.chunk_by(|one, next| one.protocol.preposition() == next.protocol.preposition());
    let names = alike.filter_map(|group| {
        let names: Vec<_> = group.iter().map(Listener::name).collect();
        let preposition = group.first()?.protocol.preposition();
        Some(format!("{preposition} {}", names.join(", ")))
    });
    names.collect::<Vec<_>>().join("; ")
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
