//! N independent loops on one port. They share nothing but the port, and the kernel spreads the connections (SO_REUSEPORT).

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::Duration;

use super::admin::Administration;
use super::event_loop::EventLoop;
use super::lifecycle::handle::ServerHandle;
use super::lifecycle::signals::ShutdownSignals;
use super::listen::bind::listen_all;
use super::listen::listener::{Endpoint, names};
#[cfg(feature = "tls")]
use super::listen::protocol::Protocol;
use super::listen::socket::ListeningSocket;
use super::{bind_for_admin, local_addresses, new_context, set_notifier, tcp_addresses};
use crate::config::ServerConfig;
use crate::handler::BaseHttpRequestHandler;
use crate::handler::log::Log;
use crate::handler::server_info::ServerInfo;
use crate::wire::file_threads::FileThreads;
use crate::wire::log_file::LogFile;
#[cfg(feature = "tls")]
use crate::wire::tls::config::TlsConfig;

/// How often signals are checked where no loop waits for them.
const SIGNAL_CHECK: Duration = Duration::from_millis(100);

/// A server of several loops, each in its own thread and with its own clone of the handler.
#[doc(alias = "ThreadingHTTPServer")]
#[doc(alias = "ThreadingMixIn")]
pub struct ThreadingHttpServer<H> {
    endpoints: Vec<Endpoint>,
    /// A log for each loop, opened before the process is confined.
    logs: Vec<Log>,
    /// One for each loop, cloned before the process is confined, because a clone may have to open files.
    handlers: Vec<H>,
    config: ServerConfig,
    info: ServerInfo,
    handle: ServerHandle,
    signals: Option<ShutdownSignals>,
    administration: Option<Box<Administration>>,
}

impl<H: BaseHttpRequestHandler + Clone + Send> ThreadingHttpServer<H> {
    /// Listens on all of `addresses` with `loops` loops and the default configuration.
    ///
    /// # Errors
    /// As for [`bind_with`](Self::bind_with).
    pub fn bind(
        addresses: impl ToSocketAddrs,
        handler: H,
        loops: NonZeroUsize,
    ) -> io::Result<Self> {
        Self::bind_with(addresses, handler, ServerConfig::default(), loops)
    }

    /// Listens on all of `addresses` with `loops` loops; port 0 takes a free one, the same for all.
    ///
    /// # Errors
    /// A name cannot be resolved, or the server cannot listen on an address.
    pub fn bind_with(
        addresses: impl ToSocketAddrs,
        handler: H,
        mut config: ServerConfig,
        loops: NonZeroUsize,
    ) -> io::Result<Self> {
        ServerInfo::new(&handler, config.clone(), &[]).check()?;
        let asked: Vec<_> = addresses.to_socket_addrs()?.collect();
        let first = listen_for_loops(&asked, &mut config, loops)?;
        let addresses = tcp_addresses(&first)?;
        let mut endpoints = vec![Endpoint::new(first)?];
        for _ in 1..loops.get() {
            endpoints.push(Endpoint::new(listen_all(&addresses, &config)?)?);
        }
        Self::from_endpoints(endpoints, addresses, handler, config)
    }

    /// Listens on all of `addresses` with TLS, with `loops` loops and the default configuration; see
    /// [`HttpServer::bind_tls`](super::HttpServer::bind_tls).
    ///
    /// # Errors
    /// As for [`bind_with`](Self::bind_with).
    #[cfg(feature = "tls")]
    #[doc(alias = "ThreadingHTTPSServer")]
    pub fn bind_tls(
        addresses: impl ToSocketAddrs,
        handler: H,
        loops: NonZeroUsize,
        tls: &TlsConfig,
    ) -> io::Result<Self> {
        Self::bind_tls_with(addresses, handler, ServerConfig::default(), loops, tls)
    }

    /// Listens on all of `addresses` with TLS, with `loops` loops; port 0 takes a free one, the same for all.
    ///
    /// # Errors
    /// As for [`bind_with`](Self::bind_with).
    #[cfg(feature = "tls")]
    pub fn bind_tls_with(
        addresses: impl ToSocketAddrs,
        handler: H,
        config: ServerConfig,
        loops: NonZeroUsize,
        tls: &TlsConfig,
    ) -> io::Result<Self> {
        let mut server = Self::bind_with(addresses, handler, config, loops)?;
        for endpoint in &mut server.endpoints {
            endpoint.speak(&Protocol::Https(tls.clone()));
        }
        Ok(server)
    }

    /// Serves on sockets that listen already, TCP or UNIX, such as those inherited from a service manager, with `loops` loops. Each
    /// loop has a duplicate of each socket, and takes the connections that it is the first to accept.
    ///
    /// # Errors
    /// A socket cannot be duplicated or polled, or the configuration is not valid.
    pub fn from_listeners(
        listeners: impl IntoIterator<Item = impl Into<ListeningSocket>>,
        handler: H,
        config: ServerConfig,
        loops: NonZeroUsize,
    ) -> io::Result<Self> {
        ServerInfo::new(&handler, config.clone(), &[]).check()?;
        let listeners: Vec<_> = listeners.into_iter().map(Into::into).collect();
        let addresses = local_addresses(&listeners);
        let mut endpoints = Vec::new();
        for _ in 0..loops.get() {
            endpoints.push(Endpoint::with(Vec::<ListeningSocket>::new())?);
        }
        let mut server = Self::from_endpoints(endpoints, addresses, handler, config)?;
        server.share(listeners)?;
        Ok(server)
    }

    /// Serves on further sockets that listen already, as [`from_listeners`](Self::from_listeners) does: UNIX sockets beside the
    /// addresses of [`bind_with`](Self::bind_with). [`server_addresses`](Self::server_addresses) does not name them.
    ///
    /// # Errors
    /// A socket cannot be duplicated or polled.
    pub fn add_listeners(
        &mut self,
        listeners: impl IntoIterator<Item = impl Into<ListeningSocket>>,
    ) -> io::Result<()> {
        self.share(listeners.into_iter().map(Into::into).collect())
    }

    /// Gives each loop a duplicate of each listener.
    // Every loop is woken for each connection, and the first one to accept has it. mio has no EPOLLEXCLUSIVE.
    fn share(&mut self, listeners: Vec<ListeningSocket>) -> io::Result<()> {
        for endpoint in &mut self.endpoints {
            for listening in &listeners {
                endpoint.listen_on(listening.try_clone()?)?;
            }
        }
        Ok(())
    }

    /// Makes a server with a loop for each of `endpoints`.
    fn from_endpoints(
        endpoints: Vec<Endpoint>,
        addresses: Vec<SocketAddr>,
        handler: H,
        config: ServerConfig,
    ) -> io::Result<Self> {
        let info = ServerInfo::new(&handler, config.clone(), &addresses);
        let handle = ServerHandle::new(endpoints.iter().map(|endpoint| endpoint.poll.registry()))?;
        let logs = endpoints
            .iter()
            .map(|_| Log::new(config.log_format))
            .collect();
        let handlers = vec![handler; endpoints.len()];
        Ok(Self {
            endpoints,
            logs,
            handlers,
            config,
            info,
            handle,
            signals: None,
            administration: None,
        })
    }

    /// Returns the addresses that the server listens on. UNIX sockets have none.
    pub fn server_addresses(&self) -> &[SocketAddr] {
        self.info.addresses()
    }

    /// Returns the server's configuration and addresses. Its counters stay 0: each loop has its own, which a handler sees by
    /// [`Exchange::server`](crate::Exchange::server).
    pub fn info(&self) -> &ServerInfo {
        &self.info
    }

    /// Returns a handle that ends all loops from any thread.
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }

    /// Writes the access log of all loops to `log_file`; see [`HttpServer::log_to`](super::HttpServer::log_to).
    pub fn log_to(&mut self, log_file: LogFile) {
        let log_file = Arc::new(log_file);
        for log in &mut self.logs {
            log.write_to(Arc::clone(&log_file));
        }
    }

    /// Ends the server on SIGINT and SIGTERM; see [`HttpServer::shutdown_on_signals`](super::HttpServer::shutdown_on_signals).
    ///
    /// # Errors
    /// The signals cannot be taken over.
    pub fn shutdown_on_signals(
        &mut self,
        action: impl FnMut(i32) + Send + 'static,
    ) -> io::Result<()> {
        self.signals = Some(ShutdownSignals::take_over(Box::new(action))?);
        Ok(())
    }

    /// Tells the service manager how the server is, if the variable NOTIFY_SOCKET names its socket (sd_notify(3)): READY=1 in the
    /// first turn of the last loop, STOPPING=1 when a shutdown begins, RELOADING=1 and READY=1 around a
    /// [`reload`](ServerHandle::reload), and WATCHDOG=1 at half of WATCHDOG_USEC, which shows that all loops turn. Call it before the process is confined.
    ///
    /// # Errors
    /// There is no such socket. The server serves all the same.
    pub fn notify_service_manager(&mut self) -> io::Result<()> {
        let addresses = self
            .endpoints
            .first()
            .map(|endpoint| names(&endpoint.listeners));
        set_notifier(&self.handle, addresses.unwrap_or_default())
    }

    /// Answers questions about this server on `addresses` of their own, in the first loop and for all loops; see
    /// [`HttpServer::bind_admin`](super::HttpServer::bind_admin). Returns the addresses, ports included.
    ///
    /// # Errors
    /// A name cannot be resolved, or the server cannot listen on an address.
    pub fn bind_admin(&mut self, addresses: impl ToSocketAddrs) -> io::Result<Vec<SocketAddr>> {
        let listeners = bind_for_admin(addresses)?;
        let bound = tcp_addresses(&listeners)?;
        self.serve_admin(listeners)?;
        Ok(bound)
    }

    /// Answers questions about this server on sockets that listen already; see
    /// [`HttpServer::serve_admin`](super::HttpServer::serve_admin).
    ///
    /// # Errors
    /// A socket cannot be polled.
    pub fn serve_admin(
        &mut self,
        listeners: impl IntoIterator<Item = impl Into<ListeningSocket>>,
    ) -> io::Result<()> {
        let listeners = listeners.into_iter().map(Into::into).collect();
        self.administration = Some(Administration::new(listeners)?);
        Ok(())
    }

    /// Serves until a shutdown is requested; then ends in the stages of [`ServerHandle::shutdown`], and returns.
    ///
    /// The first loop runs in this thread, the others in threads called `httpoll-1`, `httpoll-2` and so on. A loop that fails or panics ends alone, with a line on standard error; the others go on.
    ///
    /// # Errors
    /// The first failure of a loop, when all have ended.
    pub fn serve_forever(self) -> io::Result<()> {
        let Self {
            endpoints,
            logs,
            handlers,
            config,
            info,
            handle,
            signals,
            administration,
        } = self;
        let common = Common {
            file_threads: FileThreads::new(config.file_threads, config.file_timeout),
            config,
            addresses: info.addresses().to_vec(),
            handle,
        };
        let mut loops = endpoints.into_iter().zip(logs).zip(handlers);
        let Some((first, handler)) = loops.next() else {
            return Ok(());
        };
        thread::scope(|scope| {
            let mut threads = Vec::new();
            for (parts, handler) in loops {
                threads.push(common.spawn(scope, threads.len() + 1, parts, handler)?);
            }
            let first = (first.0, first.1, administration);
            let (mut served, signals) = common.run(0, first, handler, signals);
            if let Some(mut signals) = signals {
                // The loop that would have handled the signals has failed.
                while !threads.iter().all(ScopedJoinHandle::is_finished) {
                    signals.take(&common.handle);
                    thread::sleep(SIGNAL_CHECK);
                }
            }
            for thread in threads {
                let ended = thread.join().unwrap_or_else(|_| Err(panicked()));
                served = served.and(ended);
            }
            served
        })
    }
}

/// Opens the listening sockets of the first loop, and configures those of the others to share its port.
fn listen_for_loops(
    addresses: &[SocketAddr],
    config: &mut ServerConfig,
    loops: NonZeroUsize,
) -> io::Result<Vec<TcpListener>> {
    let listeners = listen_all(addresses, config)?;
    if loops.get() == 1 || config.allow_reuse_port {
        return Ok(listeners);
    }
    // Only the loops of this server share the port, so the first attempt was made without sharing: it fails where another
    // program has the port.
    let addresses = tcp_addresses(&listeners)?;
    drop(listeners);
    config.allow_reuse_port = true;
    listen_all(&addresses, config)
}

/// What all loops are made with.
struct Common {
    config: ServerConfig,
    addresses: Vec<SocketAddr>,
    handle: ServerHandle,
    file_threads: Option<FileThreads>,
}

impl Common {
    /// Runs loop number `index` in a thread of its own.
    fn spawn<'scope, H: BaseHttpRequestHandler + Send + 'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        index: usize,
        parts: (Endpoint, Log),
        handler: H,
    ) -> io::Result<ScopedJoinHandle<'scope, io::Result<()>>> {
        let run = move || {
            let (endpoint, log) = parts;
            let served = self.run(index, (endpoint, log, None), handler, None).0;
            self.handle.note_end(index);
            served
        };
        let thread = thread::Builder::new().name(format!("httpoll-{index}"));
        // A server with fewer loops than configured does not start.
        let spawned = thread.spawn_scoped(scope, run);
        spawned.inspect_err(|_| self.handle.shutdown())
    }

    /// Makes a loop and runs it to its end. Where it fails, the signals are returned, because the other loops still need them.
    // Not inlined: the whole server would be compiled once more for each way to start a loop.
    #[inline(never)]
    fn run<H: BaseHttpRequestHandler>(
        &self,
        index: usize,
        (endpoint, log, administration): (Endpoint, Log, Option<Box<Administration>>),
        handler: H,
        signals: Option<ShutdownSignals>,
    ) -> (io::Result<()>, Option<ShutdownSignals>) {
        let Self {
            config,
            addresses,
            handle,
            ..
        } = self;
        let start = || {
            let (config, file_threads) = (config.clone(), self.file_threads.clone());
            let context =
                new_context(handler, config, addresses, handle, index, log, file_threads)?;
            let mut event_loop = EventLoop::new(endpoint, context, handle.clone(), index);
            event_loop.begin_beats();
            signals.map_or(Ok(()), |signals| event_loop.shutdown_on_signals(signals))?;
            if let Some(administration) = administration {
                event_loop.take_in_administration(administration)?;
            }
            Ok(event_loop)
        };
        let mut event_loop = match start() {
            Ok(event_loop) => event_loop,
            Err(error) => {
                // A server with fewer loops than configured does not start.
                handle.shutdown();
                return (Err(error), None);
            }
        };
        let served = catch_unwind(AssertUnwindSafe(|| event_loop.serve_forever()));
        let served = served.unwrap_or_else(|_| Err(panicked()));
        handle.ended(index);
        let signals = event_loop.take_signals().filter(|_| served.is_err());
        // A loop that panicked may panic again, even while it is dropped.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            if let Err(error) = &served {
                event_loop.report_end(error);
            }
            drop(event_loop);
        }));
        (served, signals)
    }
}

fn panicked() -> io::Error {
    io::Error::other("a loop panicked")
}

impl<H> fmt::Debug for ThreadingHttpServer<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadingHttpServer")
            .field("addresses", &self.info.addresses())
            .field("loops", &self.endpoints.len())
            .finish_non_exhaustive()
    }
}
