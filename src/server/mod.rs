//! When to run: the server, its loop, its connections and their deadlines.
//!
//! A user of the library holds [`HttpServer`], [`ThreadingHttpServer`](threading::ThreadingHttpServer) or
//! [`MemoryServer`](memory::MemoryServer). Behind them, `event_loop` takes connections in and gives them their turns, `listen` opens
//! sockets, and `lifecycle` ends the server.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

mod admin;
pub(crate) mod confinement;
mod connection;
mod event_loop;
mod finished_replies;
mod lifecycle;
pub(crate) mod listen;
mod loop_context;
pub(crate) mod memory;
mod scratch;
pub(crate) mod threading;

pub use lifecycle::handle::ServerHandle;

#[cfg(any(test, fuzzing))]
pub use connection::tests::properties::connection as check_connection;

use crate::config::ServerConfig;
use crate::handler::BaseHttpRequestHandler;
use crate::handler::log::Log;
use crate::handler::server_info::ServerInfo;
use crate::wire::file_threads::FileThreads;
use crate::wire::log_file::LogFile;
#[cfg(feature = "tls")]
use crate::wire::tls::config::TlsConfig;
use admin::Administration;
use event_loop::{EventLoop, NO_CONNECTION};
use lifecycle::notifier::Notifier;
use lifecycle::signals::ShutdownSignals;
use listen::bind::listen_all;
use listen::listener::Endpoint;
#[cfg(feature = "tls")]
use listen::protocol::Protocol;
use listen::socket::ListeningSocket;
use loop_context::LoopContext;

/// A server of one loop: it serves any number of connections without a thread.
///
/// It runs by itself ([`serve_forever`](Self::serve_forever)) or inside another loop, turn by turn ([`turn`](Self::turn)).
/// It may be moved into another thread if its handler is [`Send`]; its [`ServerHandle`] may go to any thread.
///
/// ```
/// use std::thread;
///
/// use httpoll::{BaseHttpRequestHandler, HttpServer};
///
/// struct Nothing;
/// impl BaseHttpRequestHandler for Nothing {}
///
/// let mut server = HttpServer::bind("127.0.0.1:0", Nothing)?;
/// let (port, handle) = (server.server_port(), server.handle());
/// let thread = thread::spawn(move || server.serve_forever());
/// assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
/// handle.shutdown();
/// thread.join().expect("the loop does not panic")?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "HTTPServer")]
#[doc(alias = "TCPServer")]
#[doc(alias = "BaseServer")]
pub struct HttpServer<H> {
    event_loop: EventLoop<H>,
    handle: ServerHandle,
}

impl<H: BaseHttpRequestHandler> HttpServer<H> {
    /// Listens on all of `addresses` with the default configuration; port 0 takes a free one.
    ///
    /// # Errors
    /// A name cannot be resolved, or the server cannot listen on an address.
    #[doc(alias = "server_bind")]
    #[doc(alias = "server_activate")]
    pub fn bind(addresses: impl ToSocketAddrs, handler: H) -> io::Result<Self> {
        Self::bind_with(addresses, handler, ServerConfig::default())
    }

    /// Listens on all of `addresses`; port 0 takes a free one, the same for all.
    ///
    /// # Errors
    /// As for [`bind`](Self::bind).
    pub fn bind_with(
        addresses: impl ToSocketAddrs,
        handler: H,
        config: ServerConfig,
    ) -> io::Result<Self> {
        let (endpoint, addresses) = open(addresses, &config)?;
        Self::from_endpoint(endpoint, &addresses, handler, config)
    }

    /// Listens on all of `addresses` with TLS and the default configuration; port 0 takes a free one.
    ///
    /// A request in plain text is redirected to HTTPS on the same port.
    ///
    /// # Errors
    /// As for [`bind`](Self::bind).
    #[cfg(feature = "tls")]
    #[doc(alias = "HTTPSServer")]
    pub fn bind_tls(
        addresses: impl ToSocketAddrs,
        handler: H,
        tls: &TlsConfig,
    ) -> io::Result<Self> {
        Self::bind_tls_with(addresses, handler, ServerConfig::default(), tls)
    }

    /// Listens on all of `addresses` with TLS; port 0 takes a free one, the same for all.
    ///
    /// # Errors
    /// As for [`bind`](Self::bind).
    #[cfg(feature = "tls")]
    pub fn bind_tls_with(
        addresses: impl ToSocketAddrs,
        handler: H,
        config: ServerConfig,
        tls: &TlsConfig,
    ) -> io::Result<Self> {
        let (mut endpoint, addresses) = open(addresses, &config)?;
        endpoint.speak(&Protocol::Https(tls.clone()));
        Self::from_endpoint(endpoint, &addresses, handler, config)
    }

    /// Serves on a socket that listens already, with the default configuration.
    ///
    /// # Errors
    /// The socket cannot be polled.
    pub fn from_listener(listener: impl Into<ListeningSocket>, handler: H) -> io::Result<Self> {
        Self::from_listeners([listener], handler, ServerConfig::default())
    }

    /// Serves on sockets that listen already, TCP or UNIX, such as those inherited from a service manager.
    ///
    /// At its end the server accepts and answers what waits in the queues of the sockets, except those that are
    /// [inherited](ListeningSocket::inherited): these are left to the successor.
    ///
    /// # Errors
    /// A socket cannot be polled.
    pub fn from_listeners(
        listeners: impl IntoIterator<Item = impl Into<ListeningSocket>>,
        handler: H,
        config: ServerConfig,
    ) -> io::Result<Self> {
        let listeners: Vec<_> = listeners.into_iter().map(Into::into).collect();
        let addresses = local_addresses(&listeners);
        Self::from_endpoint(Endpoint::with(listeners)?, &addresses, handler, config)
    }

    fn from_endpoint(
        endpoint: Endpoint,
        addresses: &[SocketAddr],
        handler: H,
        config: ServerConfig,
    ) -> io::Result<Self> {
        let handle = ServerHandle::new([endpoint.poll.registry()].into_iter())?;
        let log = Log::new(config.log_format);
        let file_threads = FileThreads::new(config.file_threads, config.file_timeout);
        let context = new_context(handler, config, addresses, &handle, 0, log, file_threads)?;
        let event_loop = EventLoop::new(endpoint, context, handle.clone(), 0);
        Ok(Self { event_loop, handle })
    }

    /// Returns the addresses that the server listens on, ports included. UNIX sockets have none.
    pub fn server_addresses(&self) -> &[SocketAddr] {
        self.info().addresses()
    }

    /// Returns the first address that the server listens on; `None` if it was made without any socket.
    pub fn server_address(&self) -> Option<SocketAddr> {
        self.server_addresses().first().copied()
    }

    /// Returns the port of the first address.
    pub fn server_port(&self) -> u16 {
        self.info().server_port()
    }

    /// Returns the host of the first address as text, without looking up its name.
    pub fn server_name(&self) -> String {
        self.info().server_name()
    }

    /// Returns the server's configuration, its addresses and what it has counted.
    pub fn info(&self) -> &ServerInfo {
        &self.event_loop.context().server
    }

    /// Answers questions about this server on `addresses` of their own, and returns the addresses, ports included.
    ///
    /// `GET /livez` is 200 as long as the loop runs. `GET /readyz` is 200, or 503 with the reason while the server ends or its handler is
    /// [not ready](BaseHttpRequestHandler::check_ready). `GET /metrics` has the [counters](crate::Counters) of all loops in the format of
    /// Prometheus, or of OpenMetrics for clients that prefer it. These connections are neither logged nor counted, have no part in the
    /// limits, and are served until the server has ended.
    ///
    /// Everyone who reaches the address may ask, so it should be a private one. To be called before the process is
    /// [confined](crate::Confinement).
    ///
    /// ```
    /// use std::io::{Read as _, Write as _};
    /// use std::net::TcpStream;
    /// use std::thread;
    ///
    /// use httpoll::{BaseHttpRequestHandler, HttpServer};
    ///
    /// struct Nothing;
    /// impl BaseHttpRequestHandler for Nothing {}
    ///
    /// let mut server = HttpServer::bind("127.0.0.1:0", Nothing)?;
    /// let admin = server.bind_admin("127.0.0.1:0")?[0];
    /// let handle = server.handle();
    /// let thread = thread::spawn(move || server.serve_forever());
    /// let mut client = TcpStream::connect(admin)?;
    /// client.write_all(b"GET /readyz HTTP/1.0\r\n\r\n")?;
    /// let mut reply = String::new();
    /// client.read_to_string(&mut reply)?;
    /// assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"));
    /// handle.shutdown();
    /// thread.join().expect("the loop does not panic")?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// A name cannot be resolved, or the server cannot listen on an address.
    pub fn bind_admin(&mut self, addresses: impl ToSocketAddrs) -> io::Result<Vec<SocketAddr>> {
        let listeners = bind_for_admin(addresses)?;
        let bound = tcp_addresses(&listeners)?;
        self.serve_admin(listeners)?;
        Ok(bound)
    }

    /// Answers questions about this server, as [`bind_admin`](Self::bind_admin) does, on sockets that listen already. A later call replaces
    /// the sockets of an earlier one.
    ///
    /// # Errors
    /// A socket cannot be polled.
    pub fn serve_admin(
        &mut self,
        listeners: impl IntoIterator<Item = impl Into<ListeningSocket>>,
    ) -> io::Result<()> {
        let listeners = listeners.into_iter().map(Into::into).collect();
        let administration = Administration::new(listeners)?;
        self.event_loop.take_in_administration(administration)
    }

    /// Returns the handler.
    #[doc(alias = "RequestHandlerClass")]
    pub fn handler(&self) -> &H {
        &self.event_loop.context().handler
    }

    /// Returns the handler, which may be changed between two turns.
    pub fn handler_mut(&mut self) -> &mut H {
        &mut self.event_loop.context_mut().handler
    }

    /// Returns a handle that ends this server from any thread.
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }

    /// Writes the access log to `log_file` from now on, and no longer to standard error. Messages of the server and of handlers stay on
    /// standard error.
    pub fn log_to(&mut self, log_file: LogFile) {
        self.event_loop
            .context_mut()
            .log
            .write_to(Arc::new(log_file));
    }

    /// Ends the server on SIGINT and SIGTERM, as [`ServerHandle::shutdown`] does; `action` is called with the signal's number
    /// first. A second signal ends the process at once, with exit code 128 + its number. SIGHUP reloads, as
    /// [`ServerHandle::reload`] does, SIGUSR1 prints the counters of every loop on standard error, and SIGUSR2 does nothing.
    ///
    /// # Errors
    /// The signals cannot be taken over.
    pub fn shutdown_on_signals(
        &mut self,
        action: impl FnMut(i32) + Send + 'static,
    ) -> io::Result<()> {
        let signals = ShutdownSignals::take_over(Box::new(action))?;
        self.event_loop.shutdown_on_signals(signals)
    }

    /// Tells the service manager how the server is, if the variable NOTIFY_SOCKET names its socket (sd_notify(3)): READY=1 in the
    /// first turn, STOPPING=1 when a shutdown begins, RELOADING=1 and READY=1 around a [`reload`](ServerHandle::reload), and
    /// WATCHDOG=1 at half of WATCHDOG_USEC, which shows that the loop turns. Call it before the process is confined.
    ///
    /// # Errors
    /// There is no such socket. The server serves all the same.
    pub fn notify_service_manager(&mut self) -> io::Result<()> {
        set_notifier(&self.handle, self.event_loop.listens_on())?;
        self.event_loop.begin_beats();
        Ok(())
    }

    /// Runs one turn: waits for events, at most `timeout` and no longer than the next deadline, and acts on them.
    ///
    /// # Errors
    /// The poll failed, a thread for files cannot start, or a listening socket failed. The loss of a listening socket is returned
    /// once, and further turns serve the others; without any, the server ends as after a shutdown.
    pub fn turn(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.info().start_file_threads()?;
        self.event_loop.turn(timeout)?;
        self.event_loop.take_failure()
    }

    /// Returns when [`turn`](Self::turn) is due even if no event comes.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.event_loop.next_deadline()
    }

    /// Serves until one request is answered, but at most `timeout`, and returns whether one was.
    ///
    /// Within that time it also waits until the reply has been sent. If no request came, it calls the handler's
    /// [`handle_timeout`](BaseHttpRequestHandler::handle_timeout).
    ///
    /// # Errors
    /// As for [`turn`](Self::turn).
    pub fn handle_request(&mut self, timeout: Option<Duration>) -> io::Result<bool> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let before = self.info().counters().requests;
        let mut left = timeout;
        while !self.is_finished() {
            self.turn(left)?;
            let answered = self.info().counters().requests > before;
            let is_late = left == Some(Duration::ZERO);
            if answered && (is_late || !self.event_loop.is_sending()) {
                return Ok(true);
            } else if is_late {
                self.event_loop
                    .context_mut()
                    .hook(NO_CONNECTION, H::handle_timeout);
                return Ok(false);
            }
            left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        }
        Ok(self.info().counters().requests > before)
    }

    /// Stops listening at once. Further turns still serve the open connections; dropping the server closes them.
    pub fn server_close(&mut self) {
        self.event_loop.close_listeners();
    }

    /// Tells whether a shutdown was requested and is done: the condition that ends your own loop around [`turn`](Self::turn).
    pub fn is_finished(&self) -> bool {
        self.event_loop.is_finished()
    }

    /// Serves until a shutdown is requested; then ends in the stages of [`ServerHandle::shutdown`], and returns.
    ///
    /// # Errors
    /// The poll failed; or, at the end, a listening socket was lost on the way.
    pub fn serve_forever(&mut self) -> io::Result<()> {
        self.event_loop.serve_forever()
    }
}

impl<H> fmt::Debug for HttpServer<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpServer")
            .field("handle", &self.handle)
            .finish_non_exhaustive()
    }
}

impl<H: BaseHttpRequestHandler> AsFd for HttpServer<H> {
    /// Returns the poll's own descriptor, which is readable when a [`turn`](HttpServer::turn) has events to act on.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event_loop.poll().registry().as_fd()
    }
}

impl<H: BaseHttpRequestHandler> AsRawFd for HttpServer<H> {
    /// Returns the poll's own descriptor, which is readable when a [`turn`](HttpServer::turn) has events to act on.
    #[doc(alias = "fileno")]
    fn as_raw_fd(&self) -> RawFd {
        self.event_loop.poll().as_raw_fd()
    }
}

/// Opens sockets that listen on `addresses`, and returns these as they were bound.
fn open(
    addresses: impl ToSocketAddrs,
    config: &ServerConfig,
) -> io::Result<(Endpoint, Vec<SocketAddr>)> {
    let addresses: Vec<_> = addresses.to_socket_addrs()?.collect();
    let listeners = listen_all(&addresses, config)?;
    let addresses = tcp_addresses(&listeners)?;
    Ok((Endpoint::new(listeners)?, addresses))
}

/// Returns the addresses of those listeners that are TCP sockets.
fn tcp_addresses(listeners: &[TcpListener]) -> io::Result<Vec<SocketAddr>> {
    listeners.iter().map(TcpListener::local_addr).collect()
}

fn local_addresses(listeners: &[ListeningSocket]) -> Vec<SocketAddr> {
    let addresses = listeners.iter().map(ListeningSocket::local_addr);
    addresses.flatten().collect()
}

/// Connects to the service manager, if there is one, for a server with these [`names`](listen::listener::names).
fn set_notifier(handle: &ServerHandle, names: String) -> io::Result<()> {
    let status = format!("Serving {}", names.escape_debug());
    if let Some(notifier) = Notifier::from_environment(handle.loops(), status)? {
        handle.set_notifier(notifier);
    }
    Ok(())
}

/// Opens the sockets of an administration.
fn bind_for_admin(addresses: impl ToSocketAddrs) -> io::Result<Vec<TcpListener>> {
    let addresses: Vec<_> = addresses.to_socket_addrs()?.collect();
    listen_all(&addresses, &ServerConfig::default())
}

/// Makes the context of loop number `index` of the server behind `handle`.
fn new_context<H: BaseHttpRequestHandler>(
    handler: H,
    config: ServerConfig,
    addresses: &[SocketAddr],
    handle: &ServerHandle,
    index: usize,
    mut log: Log,
    file_threads: Option<FileThreads>,
) -> io::Result<LoopContext<H>> {
    log.loop_index = index;
    let server = ServerInfo::new(&handler, config, addresses)
        .of_loops(handle.loops())
        .with_file_threads(file_threads);
    server.check()?;
    Ok(LoopContext::new(
        handler,
        server,
        handle.mailbox(index),
        log,
    ))
}
