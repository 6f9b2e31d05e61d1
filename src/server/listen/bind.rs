//! How listening sockets are opened.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use nix::sys::socket::setsockopt;
use nix::{getsockopt_impl, libc, setsockopt_impl, sockopt_impl};
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

use crate::config::ServerConfig;

/// Seconds for which a connection without a request is deferred, as far as the kernel's own timing goes.
const DEFERRED: u32 = 1;
/// Free ports that are tried until one is free at all addresses.
const FREE_PORTS: u32 = 16;

sockopt_impl!(
    /// Seconds for which the kernel may defer a connection until its first bytes arrive. Neither the standard library nor
    /// socket2 has a call for it.
    DeferAccept,
    Both,
    libc::IPPROTO_TCP,
    libc::TCP_DEFER_ACCEPT,
    u32
);

/// Opens a listening socket for every address; port 0 becomes the same free port for all of them.
pub(crate) fn listen_all(
    addresses: &[SocketAddr],
    config: &ServerConfig,
) -> io::Result<Vec<TcpListener>> {
    let is_chosen_here = addresses.iter().all(|address| address.port() == 0);
    for _ in 1..FREE_PORTS {
        match listen_once(addresses, config) {
            // The port that is free at the first address is not free at another one.
            Err(error) if is_chosen_here && error.kind() == io::ErrorKind::AddrInUse => {}
            listening => return listening,
        }
    }
    listen_once(addresses, config)
}

fn listen_once(addresses: &[SocketAddr], config: &ServerConfig) -> io::Result<Vec<TcpListener>> {
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
            // `localhost` stands for ::1 and 127.0.0.1, also where there is no IPv6.
            Err(error) if is_spare_loopback(address, addresses) && is_no_address(&error) => {
                continue;
            }
            listener => listener.map_err(|error| describe(address, error))?,
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
fn listen(address: SocketAddr, v6_only: bool, config: &ServerConfig) -> io::Result<TcpListener> {
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
    // Every connection inherits it from its listener, without a system call of its own.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    if config.defer_accept {
        // Deferring only saves time, so a kernel without it serves all the same.
        let _ = setsockopt(&socket, DeferAccept, &DEFERRED);
    }
    socket.listen(config.request_queue_size.try_into().unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

/// Says in plain words why the server cannot listen.
fn describe(address: SocketAddr, error: io::Error) -> io::Error {
    let reason = match error.kind() {
        io::ErrorKind::AddrInUse => "the port is already in use".to_owned(),
        io::ErrorKind::PermissionDenied => "no permission to use this port".to_owned(),
        io::ErrorKind::AddrNotAvailable => "it is not an address of this machine".to_owned(),
        _ => error.to_string(),
    };
    io::Error::new(
        error.kind(),
        format!("cannot listen on {address}: {reason}"),
    )
}

/// Whether `address` is ::1 and can be left out, because 127.0.0.1 is listened on as well.
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
    fn two_servers_share_a_port_only_if_configured() {
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
