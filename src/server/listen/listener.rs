//! Listening sockets: how they are opened, and how they accept.
//!
//! Invariant: an accept that failed for want of descriptors is retried in every later turn, for its edge will not come again.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Poll, Token};
use nix::sys::socket::{getsockopt, setsockopt};
use nix::{getsockopt_impl, libc, setsockopt_impl, sockopt_impl};
use rustix::io::Errno;
use rustix::net::sockopt::tcp_nodelay;
use socket2::{Domain, Protocol, Socket, Type};

use crate::config::ServerConfig;

/// How long a listener without descriptors waits before it tries by itself.
pub(crate) const PAUSE: Duration = Duration::from_millis(100);

/// Seconds that a connection without a request is kept back, as far as the kernel's own timing goes.
const DEFERRED: u32 = 1;

/// So many free ports are tried until one is free at all addresses.
const FREE_PORTS: u32 = 16;
/// Tokens of listeners count down from here, those of connections up from 0.
pub(crate) const LAST_LISTENER: usize = usize::MAX - 2;

sockopt_impl!(
    /// Seconds that a connection may be kept back until its first bytes are here; neither the standard library nor socket2
    /// has a call for it.
    DeferAccept,
    Both,
    libc::IPPROTO_TCP,
    libc::TCP_DEFER_ACCEPT,
    u32
);

/// A listening socket of one loop.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) socket: TcpListener,
    pub(crate) accepting: Accepting,
    /// Whether nothing was accepted since accepting had to pause.
    pub(crate) was_paused: bool,
    /// Whether what is accepted has sent its first bytes already.
    pub(crate) is_deferred: bool,
    /// Whether what is accepted sends without delay already. Sockets that were made elsewhere may have connections in their
    /// queue by now, which would miss what is set later.
    is_prompt: bool,
}

/// What is known about connections that wait to be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accepting {
    /// None: the next edge tells.
    Idle,
    /// There may be more; this turn has taken enough.
    More,
    /// There are some, but no descriptors for them.
    Paused,
    /// The socket is of no use any more.
    Lost,
}

impl Listener {
    pub(crate) fn new(socket: TcpListener) -> Self {
        Self {
            is_deferred: getsockopt(&socket, DeferAccept).is_ok_and(|seconds| seconds > 0),
            is_prompt: tcp_nodelay(&socket).unwrap_or(false),
            socket,
            accepting: Accepting::Idle,
            was_paused: false,
        }
    }

    /// Takes one connection from the queue; `None` where there is none, or none can be taken now.
    ///
    /// # Errors
    /// The socket itself is of no use any more.
    pub(crate) fn accept(&mut self) -> io::Result<Option<(TcpStream, SocketAddr)>> {
        loop {
            match self.socket.accept() {
                Ok((stream, address)) => {
                    self.was_paused = false;
                    if !self.is_prompt {
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
                    // No descriptors or memory now, or the kernel does not let us: perhaps later.
                    _ => {
                        self.accepting = Accepting::Paused;
                        return Ok(None);
                    }
                },
            }
        }
    }
}

/// A poll with its listeners: what can be made before the thread that will run it.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) poll: Poll,
    pub(crate) listeners: Vec<Listener>,
}

impl Endpoint {
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

/// Opens a listening socket for every address; a port 0 is the same free port for all of them.
pub(crate) fn listen_all(
    addresses: &[SocketAddr],
    config: &ServerConfig,
) -> io::Result<Vec<std::net::TcpListener>> {
    let is_chosen_here = addresses.iter().all(|address| address.port() == 0);
    for _ in 1..FREE_PORTS {
        match listen_once(addresses, config) {
            // The port that was free at the first address is not so at another one.
            Err(error) if is_chosen_here && error.kind() == io::ErrorKind::AddrInUse => {}
            listening => return listening,
        }
    }
    listen_once(addresses, config)
}

fn listen_once(
    addresses: &[SocketAddr],
    config: &ServerConfig,
) -> io::Result<Vec<std::net::TcpListener>> {
    let mut free_port = 0;
    let mut listeners = Vec::with_capacity(addresses.len());
    for address in addresses {
        let mut address = *address;
        if address.port() == 0 {
            address.set_port(free_port);
        }
        let v6_only = address.is_ipv6()
            && addresses
                .iter()
                .any(|other| other.is_ipv4() && other.ip().is_unspecified());
        let listener = match listen(address, v6_only, config) {
            // What "localhost" means where there is no IPv6.
            Err(error) if is_spare_loopback(address, addresses) && is_no_address(&error) => {
                continue;
            }
            listener => listener.map_err(|error| in_words(address, error))?,
        };
        free_port = listener.local_addr()?.port();
        listeners.push(listener);
    }
    if listeners.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "no address to listen on",
        ));
    }
    Ok(listeners)
}

/// Opens one listening socket. The unspecified IPv6 address takes IPv4 as well, and stands for IPv4 alone where the kernel
/// has no IPv6.
fn listen(
    address: SocketAddr,
    v6_only: bool,
    config: &ServerConfig,
) -> io::Result<std::net::TcpListener> {
    let socket = match Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    ) {
        Err(error)
            if address.is_ipv6() && address.ip().is_unspecified() && has_no_family(&error) =>
        {
            return listen(
                (Ipv4Addr::UNSPECIFIED, address.port()).into(),
                false,
                config,
            );
        }
        socket => socket?,
    };
    socket.set_reuse_address(true)?;
    if config.allow_reuse_port {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(v6_only || address.ip() != IpAddr::V6(Ipv6Addr::UNSPECIFIED))?;
    }
    // Every connection has it from its listener, without a system call of its own.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    if config.defer_accept {
        // Where the kernel cannot, it costs what it costs otherwise.
        let _ = setsockopt(&socket, DeferAccept, &DEFERRED);
    }
    socket.listen(config.request_queue_size.try_into().unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

/// Says what stands in the way, for whoever started the server.
fn in_words(address: SocketAddr, error: io::Error) -> io::Error {
    let reason = match error.kind() {
        io::ErrorKind::AddrInUse => "the port is already in use".to_owned(),
        io::ErrorKind::PermissionDenied => "no permission to use this port".to_owned(),
        io::ErrorKind::AddrNotAvailable => "it is no address of this machine".to_owned(),
        _ => error.to_string(),
    };
    io::Error::new(
        error.kind(),
        format!("cannot listen on {address}: {reason}"),
    )
}

fn is_spare_loopback(address: SocketAddr, addresses: &[SocketAddr]) -> bool {
    let other = |other: &SocketAddr| other.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST);
    address.ip() == IpAddr::V6(Ipv6Addr::LOCALHOST) && addresses.iter().any(other)
}

fn is_no_address(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable || has_no_family(error)
}

fn has_no_family(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::AFNOSUPPORT)
}

/// Shows an IPv4 peer of a socket for both families as IPv4.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_port_is_shared_by_all_addresses() {
        let any = [
            SocketAddr::from(([127, 0, 0, 1], 0)),
            SocketAddr::from(([127, 0, 0, 2], 0)),
        ];
        let listeners = listen_all(&any, &ServerConfig::default()).unwrap();
        let ports: Vec<_> = listeners
            .iter()
            .map(|listener| listener.local_addr().unwrap().port())
            .collect();
        assert_eq!(ports[0], ports[1]);
        assert_ne!(ports[0], 0);
    }

    #[test]
    fn what_is_accepted_sends_without_delay() {
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
    fn a_mapped_address_is_shown_as_ipv4() {
        let mapped: SocketAddr = "[::ffff:10.1.2.3]:80".parse().unwrap();
        assert_eq!(canonical(mapped), "10.1.2.3:80".parse().unwrap());
    }

    #[test]
    fn two_servers_share_a_port_only_when_they_are_told_to() {
        let any = [SocketAddr::from(([127, 0, 0, 1], 0))];
        let shared = ServerConfig {
            allow_reuse_port: true,
            ..ServerConfig::default()
        };
        let first = listen_all(&any, &shared).unwrap();
        let same = [first[0].local_addr().unwrap()];
        assert!(listen_all(&same, &shared).is_ok());
        let error = listen_all(&same, &ServerConfig::default()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
