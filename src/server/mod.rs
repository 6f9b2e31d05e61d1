//! When to run: the server, its loop, its connections and their deadlines.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::{Duration, Instant};

pub(crate) mod confinement;
mod connection;
mod event_loop;
mod lifecycle;
mod listen;
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
use event_loop::{EventLoop, NO_CONNECTION, timers};
use lifecycle::signals::ShutdownSignals;
use listen::listener::{Endpoint, listen_all};
use loop_context::LoopContext;

/// A server of one loop: any number of connections, no thread.
///
/// It runs by itself ([`serve_forever`](Self::serve_forever)) or inside of another loop, turn by turn ([`turn`](Self::turn)).
/// It stays in the thread that made it, for its streams may hold what no other thread may see; its [`ServerHandle`] goes
/// anywhere.
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
    /// A name that means no address, or an address that cannot be listened on.
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
        let addresses: Vec<_> = addresses.to_socket_addrs()?.collect();
        Self::from_listeners(listen_all(&addresses, &config)?, handler, config)
    }

    /// Serves on a socket that listens already, with the default configuration.
    ///
    /// # Errors
    /// A socket that cannot be polled.
    pub fn from_listener(listener: TcpListener, handler: H) -> io::Result<Self> {
        Self::from_listeners(vec![listener], handler, ServerConfig::default())
    }

    /// Serves on sockets that listen already, as inherited from a service manager.
    ///
    /// # Errors
    /// A socket that cannot be polled.
    pub fn from_listeners(
        listeners: Vec<TcpListener>,
        handler: H,
        config: ServerConfig,
    ) -> io::Result<Self> {
        let addresses = local_addresses(&listeners)?;
        let endpoint = Endpoint::new(listeners)?;
        let handle = ServerHandle::new([endpoint.poll.registry()].into_iter())?;
        let log = Log::new(config.log_format);
        let context = new_desk(handler, config, &addresses, &handle, 0, log)?;
        let event_loop = EventLoop::new(endpoint, context, handle.clone(), 0);
        Ok(Self { event_loop, handle })
    }

    /// Returns the addresses that the server listens on, ports included.
    pub fn server_addresses(&self) -> &[SocketAddr] {
        self.info().addresses()
    }

    /// Returns the first of the addresses that the server listens on; `None` after it was made without any.
    pub fn server_address(&self) -> Option<SocketAddr> {
        self.server_addresses().first().copied()
    }

    /// Returns the port of the first address.
    pub fn server_port(&self) -> u16 {
        self.info().server_port()
    }

    /// Returns the host of the first address as text; no name is ever looked up.
    pub fn server_name(&self) -> String {
        self.info().server_name()
    }

    /// Returns the server's configuration, its addresses and what it has counted.
    pub fn info(&self) -> &ServerInfo {
        &self.event_loop.context().server
    }

    /// Returns the handler.
    #[doc(alias = "RequestHandlerClass")]
    pub fn handler(&self) -> &H {
        &self.event_loop.context().handler
    }

    /// Returns the handler, to be changed between two turns.
    pub fn handler_mut(&mut self) -> &mut H {
        &mut self.event_loop.context_mut().handler
    }

    /// Returns what ends this server from anywhere.
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }

    /// Ends the server on SIGINT and SIGTERM, as [`ServerHandle::shutdown`] does; `action` is told the signal's number first.
    /// A second signal ends the process at once, with exit code 128 + its number. SIGUSR1 prints the counters of every loop on
    /// standard error.
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

    /// Waits for events, at most `timeout` and no longer than the next deadline, and does all there is to do.
    ///
    /// # Errors
    /// The poll is of no use any more, or a listening socket is. The latter is said once, and further turns serve the others;
    /// without any, the server ends as after a shutdown.
    pub fn turn(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.event_loop.turn(timeout)?;
        self.event_loop.take_failure()
    }

    /// Returns when [`turn`](Self::turn) is due even if no event comes.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.event_loop.next_deadline()
    }

    /// Serves until one request is answered, but at most `timeout`; then says whether one was.
    ///
    /// It waits for the reply to leave, too, as long as the time allows. Where no request came, the handler's
    /// [`handle_timeout`](BaseHttpRequestHandler::handle_timeout) is called.
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

    /// Stops listening at once; connections that are there are served on in further turns, and closed with the server.
    pub fn server_close(&mut self) {
        self.event_loop.close_listeners();
    }

    /// Tells whether a shutdown was asked for and is done: what a loop of one's own around [`turn`](Self::turn) asks.
    pub fn is_finished(&self) -> bool {
        self.event_loop.is_finished()
    }

    /// Serves until a shutdown is asked for; then finishes what is in flight, and returns.
    ///
    /// # Errors
    /// The poll is of no use any more; or, at the end, a listening socket was lost on the way.
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
    /// The poll's own descriptor: readable when a [`turn`](HttpServer::turn) has work.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event_loop.poll().registry().as_fd()
    }
}

impl<H: BaseHttpRequestHandler> AsRawFd for HttpServer<H> {
    /// The poll's own descriptor: readable when a [`turn`](HttpServer::turn) has work.
    #[doc(alias = "fileno")]
    fn as_raw_fd(&self) -> RawFd {
        self.event_loop.poll().as_raw_fd()
    }
}

fn local_addresses(listeners: &[TcpListener]) -> io::Result<Vec<SocketAddr>> {
    listeners.iter().map(TcpListener::local_addr).collect()
}

/// Makes the context of loop number `index` of the server behind `handle`.
fn new_desk<H: BaseHttpRequestHandler>(
    handler: H,
    config: ServerConfig,
    addresses: &[SocketAddr],
    handle: &ServerHandle,
    index: usize,
    log: Log,
) -> io::Result<LoopContext<H>> {
    let server = ServerInfo::new(&handler, config, addresses).of_loops(handle.loops());
    server.check()?;
    Ok(LoopContext::new(
        handler,
        server,
        handle.mailbox(index),
        log,
    ))
}
