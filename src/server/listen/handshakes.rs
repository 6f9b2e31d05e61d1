//! The clients that are connecting to a listening socket. When the socket is closed, the kernel resets their connections; some of
//! these are open for the client already, and its request may be on the way.
//!
//! With TCP_DEFER_ACCEPT that is so for every client that has sent nothing yet: the kernel has dropped its ACK, and the server
//! cannot accept the connection before the first bytes come.
//!
//! Invariant: once new clients are turned away, only those connect that had begun before.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Seek as _};
use std::net::SocketAddr;
use std::os::fd::AsFd;

use mio::net::{TcpListener, TcpStream};
use nix::sys::socket::setsockopt;
use nix::{getsockopt_impl, libc, setsockopt_impl, sockopt_impl};

sockopt_impl!(
    /// The least time to live of a packet for this socket (ip(7)); it also counts for the IPv4 packets of an IPv6 socket.
    MinTtl,
    Both,
    libc::IPPROTO_IP,
    libc::IP_MINTTL,
    i32
);
sockopt_impl!(
    /// The least hop limit of a packet for this socket.
    MinHopCount,
    Both,
    libc::IPPROTO_IPV6,
    libc::IPV6_MINHOPCOUNT,
    i32
);

/// The time to live that turns new clients away: their first packets begin with 64 or 128 and have less after each router. The
/// kernel does not hold the packets of clients that are connecting to it. It drops the others without a word; their clients send
/// again after a second, and reach the program that listens by then.
///
/// A socket filter for SYN would do the same, but recent kernels refuse it to programs that are not root.
const TURN_AWAY: i32 = 255;
const TAKE_ALL: i32 = 0;
/// The state of a connection that its listening socket has not made yet, as the tables of the kernel write it.
const SYN_RECV: &str = "03";

/// What is known of the clients that are connecting to one listening socket.
#[derive(Debug)]
pub(crate) struct Handshakes {
    /// The kernel's table of connections, opened before the process is confined; `None` where there is no /proc.
    table: Option<File>,
    address: SocketAddr,
    are_stopped: bool,
}

impl Handshakes {
    /// Prepares for the end of a socket that listens on `address`.
    pub(crate) fn new(address: SocketAddr) -> Self {
        let table = if address.is_ipv6() {
            "/proc/self/net/tcp6"
        } else {
            "/proc/self/net/tcp"
        };
        Self {
            table: File::open(table).ok(),
            address,
            are_stopped: false,
        }
    }

    /// Lets no client begin to connect any more.
    pub(crate) fn stop(&mut self, socket: &TcpListener) {
        self.are_stopped = true;
        self.hold_to(socket, TURN_AWAY);
    }

    /// Lets a connection that was accepted hear its peer: it has inherited what turns new clients away.
    pub(crate) fn accepted(&self, stream: &TcpStream) {
        if self.are_stopped {
            self.hold_to(stream, TAKE_ALL);
        }
    }

    /// Sets the least time to live of packets for `socket`.
    fn hold_to(&self, socket: &impl AsFd, least: i32) {
        // If it fails for a listening socket, clients go on connecting, and those that come last are lost; a stream is gone.
        let _ = setsockopt(socket, MinTtl, &least);
        if self.address.is_ipv6() {
            let _ = setsockopt(socket, MinHopCount, &least);
        }
    }

    /// Whether a client may be connecting. It takes as long as the kernel has connections: 100 ms for 30,000.
    pub(crate) fn may_be_under_way(&mut self) -> bool {
        let port = self.address.port();
        self.table.as_mut().is_none_or(|table| {
            table.rewind().is_err()
                || BufReader::new(table)
                    .lines()
                    .any(|line| line.map_or(true, |line| is_handshake(&line, port)))
        })
    }
}

/// Whether a line of the table is of a client that is connecting to `port`.
fn is_handshake(line: &str, port: u16) -> bool {
    // The number of the line, the address of this machine, that of the client, and the state.
    let mut words = line.split_ascii_whitespace();
    let local = words.nth(1).unwrap_or_default();
    let local_port = local.rsplit_once(':').map(|(_, port)| port);
    local_port.is_some_and(|local| u16::from_str_radix(local, 16) == Ok(port))
        && words.nth(1) == Some(SYN_RECV)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::TcpStream as StdStream;
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::config::ServerConfig;
    use crate::server::listen::bind::listen_all;

    fn listening(address: &str) -> (TcpListener, SocketAddr) {
        let config = ServerConfig {
            defer_accept: true,
            ..ServerConfig::default()
        };
        let listener = listen_all(&[address.parse().unwrap()], &config)
            .unwrap()
            .remove(0);
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        (TcpListener::from_std(listener), address)
    }

    /// Asks until there is an answer.
    fn eventually<T>(mut ask: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(answer) = ask() {
                return answer;
            }
            assert!(Instant::now() < deadline);
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn loopback(address: SocketAddr) -> SocketAddr {
        ([127, 0, 0, 1], address.port()).into()
    }

    #[test]
    fn a_line_of_the_table_tells_of_a_handshake() {
        let table = [
            ("0: 0100007F:1F90 0100007F:C350 03 00000000:00000000", true),
            ("0: 0100007F:1F90 0100007F:C350 0A 00000000:00000000", false),
            ("0: 0100007F:1F91 0100007F:1F90 03 00000000:00000000", false),
            ("1: 0000000000000000FFFF00000100007F:1F90 0:1 03 0", true),
            ("  sl  local_address rem_address   st tx_queue", false),
            ("", false),
        ];
        for (line, expected) in table {
            assert_eq!(is_handshake(line, 8080), expected, "{line}");
        }
    }

    #[test]
    fn a_client_that_has_begun_is_seen_and_connects_and_a_new_one_does_not() {
        for bind in ["127.0.0.1:0", "[::]:0"] {
            let (socket, address) = listening(bind);
            let mut handshakes = Handshakes::new(address);
            assert!(!handshakes.may_be_under_way(), "nothing has begun");
            let mut client = StdStream::connect(loopback(address)).unwrap();
            assert!(socket.accept().is_err(), "the kernel holds it back");
            handshakes.stop(&socket);
            assert!(handshakes.may_be_under_way());
            client.write_all(b"GET").unwrap();
            let (stream, _) = eventually(|| socket.accept().ok());
            handshakes.accepted(&stream);
            client.write_all(b" /").unwrap();
            let mut received = [0; 9];
            eventually(|| {
                stream
                    .peek(&mut received)
                    .ok()
                    .filter(|length| *length == 5)
            });
            let soon = Duration::from_millis(100);
            assert!(StdStream::connect_timeout(&loopback(address), soon).is_err());
            assert!(!handshakes.may_be_under_way());
        }
    }
}
