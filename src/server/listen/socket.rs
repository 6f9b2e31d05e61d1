//! A listening socket that a server is given: TCP or UNIX, bound here or made elsewhere.
//!
//! Invariant: the descriptor is a stream socket that listens.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
#[cfg(feature = "tls")]
use std::num::NonZeroU16;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::sockopt::{socket_acceptconn, socket_domain, socket_type};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, getsockname};

use super::bind::listen_all;
use super::protocol::Protocol;
use super::unix::{self, SocketFile};
use crate::config::ServerConfig;
#[cfg(feature = "tls")]
use crate::wire::tls::config::TlsConfig;

/// The port of `https`.
#[cfg(feature = "tls")]
const HTTPS: NonZeroU16 = NonZeroU16::new(443).unwrap();

/// A socket that listens, for [`HttpServer::from_listeners`](crate::HttpServer::from_listeners) and
/// [`ThreadingHttpServer::from_listeners`](crate::ThreadingHttpServer::from_listeners): TCP or UNIX.
///
/// It is made from a listener of the standard library, from any descriptor that listens, or by [`bind_unix`](Self::bind_unix).
/// The peer of a UNIX socket has no address: as a client it is `0.0.0.0:0`, shown as `unix`.
///
/// ```
/// use std::net::TcpListener;
///
/// use httpoll::{BaseHttpRequestHandler, HttpServer, ListeningSocket, ServerConfig};
///
/// struct Nothing;
/// impl BaseHttpRequestHandler for Nothing {}
///
/// let name = format!("@httpoll-example-{}", std::process::id());
/// let sockets = [
///     ListeningSocket::from(TcpListener::bind("127.0.0.1:0")?),
///     ListeningSocket::bind_unix(&name)?,
/// ];
/// assert_eq!(sockets[1].to_string(), format!("unix:{name}"));
/// let server = HttpServer::from_listeners(sockets, Nothing, ServerConfig::default())?;
/// assert_eq!(server.server_addresses().len(), 1);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct ListeningSocket {
    /// The file that is removed when the last duplicate is dropped. It is dropped before the socket.
    pub(super) file: Option<Arc<SocketFile>>,
    pub(super) socket: OwnedFd,
    pub(super) is_unix: bool,
    pub(super) is_inherited: bool,
    pub(super) protocol: Protocol,
}

impl ListeningSocket {
    /// Listens on all of `addresses`; port 0 takes a free one, the same for all.
    ///
    /// # Errors
    /// A name cannot be resolved, or the process cannot listen on an address. The message names the address.
    pub fn bind(addresses: impl ToSocketAddrs) -> io::Result<Vec<Self>> {
        let addresses: Vec<_> = addresses.to_socket_addrs()?.collect();
        let listeners = listen_all(&addresses, &ServerConfig::default())?;
        Ok(listeners.into_iter().map(Self::from).collect())
    }

    /// Listens on a UNIX socket: a path, whose file gets the mode 0660, or `@name` for an abstract name, which has no file.
    ///
    /// A socket file that no server listens on is replaced. The file is removed when the server stops listening, if it is still the
    /// same file and the process has the right to (see [`Confinement::remove_files_below`](crate::Confinement::remove_files_below)).
    ///
    /// # Errors
    /// Another server listens on it, the path is that of another file, or the file cannot be made. The message names the path.
    pub fn bind_unix(address: impl AsRef<OsStr>) -> io::Result<Self> {
        let (socket, file) = unix::listen(address.as_ref())?;
        Ok(Self {
            file: file.map(Arc::new),
            ..Self::made_elsewhere(socket, true)
        })
    }

    /// Marks the socket as one that another process may accept from as well, such as the successor of this server. Connections that
    /// wait in its queue when a shutdown begins are left to that process.
    #[must_use]
    pub fn inherited(self) -> Self {
        Self {
            is_inherited: true,
            ..self
        }
    }

    /// Has the connections of this socket speak TLS. A request in plain text is redirected to HTTPS on the same port.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn with_tls(self, tls: &TlsConfig) -> Self {
        Self {
            protocol: Protocol::Https(tls.clone()),
            ..self
        }
    }

    /// Has every request on this socket redirected to HTTPS on `port` of the same host; a port of 0 is taken as 443.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn redirecting_to_https(self, port: u16) -> Self {
        Self {
            protocol: Protocol::RedirectToHttps(NonZeroU16::new(port).unwrap_or(HTTPS)),
            ..self
        }
    }

    /// Returns the address of a TCP socket; `None` for a UNIX socket.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        SocketAddr::try_from(getsockname(&self.socket).ok()?).ok()
    }

    /// Returns the directory of the socket file that is removed at the end; `None` where there is no such file.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn directory(&self) -> io::Result<Option<OwnedFd>> {
        let file = self.file.as_ref();
        file.map(|file| file.directory()).transpose()
    }

    /// Gives the socket file, if there is one, to another user and group.
    ///
    /// # Errors
    /// The process does not have the right to.
    pub fn set_owner(&self, user: u32, group: u32) -> io::Result<()> {
        let file = self.file.as_ref();
        file.map_or(Ok(()), |file| file.set_owner(user, group))
    }

    /// Returns a duplicate, which accepts from the same queue.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            socket: self.socket.try_clone()?,
            file: self.file.clone(),
            protocol: self.protocol.clone(),
            ..*self
        })
    }

    fn made_elsewhere(socket: OwnedFd, is_unix: bool) -> Self {
        Self {
            socket,
            is_unix,
            is_inherited: false,
            file: None,
            protocol: Protocol::default(),
        }
    }
}

impl From<TcpListener> for ListeningSocket {
    fn from(listener: TcpListener) -> Self {
        Self::made_elsewhere(listener.into(), false)
    }
}

impl From<UnixListener> for ListeningSocket {
    fn from(listener: UnixListener) -> Self {
        Self::made_elsewhere(listener.into(), true)
    }
}

impl TryFrom<OwnedFd> for ListeningSocket {
    type Error = io::Error;

    /// Takes a descriptor that another program has made.
    ///
    /// # Errors
    /// It is not a TCP or UNIX stream socket that listens; the message says what it is.
    fn try_from(socket: OwnedFd) -> io::Result<Self> {
        let wrong = |reason| Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        match socket_type(&socket) {
            Err(Errno::NOTSOCK) => return wrong("it is not a socket"),
            Ok(SocketType::STREAM) => {}
            Ok(SocketType::DGRAM) => return wrong("it is a datagram socket"),
            Ok(_) => return wrong("it is not a stream socket"),
            Err(error) => return Err(error.into()),
        }
        let is_unix = match socket_domain(&socket)? {
            AddressFamily::UNIX => true,
            AddressFamily::INET | AddressFamily::INET6 => false,
            _ => return wrong("it is neither a TCP nor a UNIX socket"),
        };
        if !socket_acceptconn(&socket)? {
            return wrong("it does not listen");
        }
        Ok(Self::made_elsewhere(socket, is_unix))
    }
}

impl AsFd for ListeningSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Writes the address: `127.0.0.1:8000`, `unix:/run/httpoll.sock` or `unix:@name`.
impl fmt::Display for ListeningSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&name(&self.socket))
    }
}

/// Returns the address that a socket listens on, as `--bind` has it.
pub(crate) fn name(socket: impl AsFd) -> String {
    let Ok(address) = getsockname(socket) else {
        return "an unknown address".to_owned();
    };
    if let Ok(address) = SocketAddr::try_from(address.clone()) {
        return address.to_string();
    }
    let unix = SocketAddrUnix::try_from(address).ok();
    let shown = |bytes: &[u8]| OsStr::from_bytes(bytes).display().to_string();
    let name = unix.and_then(|address| {
        let name = address.abstract_name().map(|name| ("@", shown(name)));
        let path = || address.path().map(|path| ("", shown(path.to_bytes())));
        name.or_else(path)
    });
    let (prefix, name) = name.unwrap_or_default();
    format!("unix:{prefix}{name}")
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::net::UdpSocket;
    use std::os::unix::net::{UnixDatagram, UnixStream};

    use super::*;

    #[test]
    fn only_a_stream_socket_that_listens_is_taken() {
        let any = "127.0.0.1:0";
        let (stream, _peer) = UnixStream::pair().unwrap();
        let refused: [(OwnedFd, &str); 4] = [
            (File::open("/dev/null").unwrap().into(), "not a socket"),
            (UdpSocket::bind(any).unwrap().into(), "a datagram socket"),
            (UnixDatagram::unbound().unwrap().into(), "a datagram socket"),
            (stream.into(), "does not listen"),
        ];
        for (descriptor, reason) in refused {
            let error = ListeningSocket::try_from(descriptor).unwrap_err();
            assert!(error.to_string().contains(reason), "{error}");
        }
        let listener: OwnedFd = TcpListener::bind(any).unwrap().into();
        let socket = ListeningSocket::try_from(listener).unwrap();
        assert_eq!(socket.to_string(), socket.local_addr().unwrap().to_string());
    }
}
