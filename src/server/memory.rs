//! A server without sockets: raw request bytes in, raw response bytes out, for the tests of handlers.
//!
//! Invariant: it drives the same [`Connection`] as the loop, over another transport.

use std::fs::File;
use std::io::{self, Read as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant, SystemTime};

use super::connection::Connection;
use super::connection::readable::Readable;
use super::event_loop::SCRATCH;
use super::loop_context::{LoopContext, TURN_OF_WORK};
use super::scratch::Scratch;
use crate::config::ServerConfig;
use crate::handler::BaseHttpRequestHandler;
use crate::handler::client::{Client, Scheme};
use crate::handler::clock::Clock;
use crate::handler::log::Log;
use crate::handler::mailbox::{Mailbox, MessageContent};
use crate::handler::server_info::ServerInfo;
use crate::handler::work::Allowance;
use crate::wire::next::Next;
use crate::wire::share::Share;
use crate::wire::transport::Transport;

/// How long a reply that another thread makes may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs a handler on bytes in memory, for tests: without sockets, without a log, and with a clock that can be stopped.
///
/// ```
/// use httpoll::{BaseHttpRequestHandler, Exchange, HandlerResult, MemoryServer};
///
/// struct Hello;
///
/// impl BaseHttpRequestHandler for Hello {
///     fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
///         exchange.send_text(200, "hello");
///         Ok(())
///     }
/// }
///
/// let mut server = MemoryServer::new(Hello);
/// let response = server.respond(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n");
/// assert!(response.starts_with(b"HTTP/1.1 200 OK\r\n"));
/// assert!(response.ends_with(b"\r\n\r\nhello"));
/// ```
#[derive(Debug)]
pub struct MemoryServer<H> {
    context: LoopContext<H>,
    scratch: Scratch,
    /// The thread that waits in [`respond`](Self::respond), to be woken by messages from other threads.
    waiting: Arc<Mutex<Thread>>,
}

impl<H: BaseHttpRequestHandler> MemoryServer<H> {
    /// Makes a server with the default configuration.
    pub fn new(handler: H) -> Self {
        Self::with_config(handler, ServerConfig::default())
    }

    /// Makes a server with this configuration, except that it never logs and has no file threads. A configured field with bytes that
    /// HTTP forbids is left out; [`HttpServer`](super::HttpServer) would not start with it.
    pub fn with_config(handler: H, config: ServerConfig) -> Self {
        let info = ServerInfo::new(&handler, config, &[]);
        let waiting = Arc::new(Mutex::new(thread::current()));
        let sleeper = Arc::clone(&waiting);
        let mailbox = Mailbox::new(move || lock(&sleeper).unpark());
        let mut log = Log::new(info.config().log_format);
        log.mute();
        let context = LoopContext::new(handler, info, mailbox, log);
        Self {
            context,
            scratch: Scratch::new(SCRATCH),
            waiting,
        }
    }

    /// Stops the clock of the server at `time`.
    #[must_use]
    pub fn at(mut self, time: SystemTime) -> Self {
        self.context.clock = Clock::at(time);
        self
    }

    /// Returns the handler.
    pub fn handler(&self) -> &H {
        &self.context.handler
    }

    /// Returns what the server sends to a client that connects, sends `request` (one, several, or a part of one), closes its
    /// side, and reads until the server closes, too.
    ///
    /// It waits for deferred replies and for streams that have nothing now, up to ten seconds of silence.
    pub fn respond(&mut self, request: &[u8]) -> Vec<u8> {
        *lock(&self.waiting) = thread::current();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let pipe = Pipe {
            input: request.to_vec(),
            read: 0,
            output: Vec::new(),
        };
        let config = self.context.server.config();
        let mut connection =
            Connection::new(pipe, Client::new(address, 0, Scheme::Http, config), config);
        connection.start_counting(&mut self.context.addresses);
        self.context.hook(address, |handler| handler.setup(address));
        loop {
            self.context.server.counters.turns += 1;
            let turn = self.context.server.counters.turns;
            let mut share = Share::of(self.context.server.config(), turn);
            self.context.allowance = Allowance::new(TURN_OF_WORK);
            let next = connection.advance(
                Readable::ToEnd,
                &mut share,
                &mut self.scratch,
                &mut self.context,
            );
            self.context.hook(address, H::service_actions);
            self.context.log.flush();
            let now = Instant::now();
            let lasted = now.saturating_duration_since(self.context.clock.instant);
            self.context.count_durations(lasted, now);
            match next {
                Next::Close => break,
                Next::Continue | Next::Yield | Next::Work | Next::WaitForDisk => {}
                Next::Wait if self.wait(&mut connection) => {}
                Next::Wait => break,
            }
        }
        connection.abandon(&mut self.context);
        connection.stop_counting(&mut self.context.addresses);
        self.context
            .hook(address, |handler| handler.finish(address));
        connection.into_transport().output
    }

    /// Waits for a message from another thread, and returns whether one came.
    fn wait(&mut self, connection: &mut Connection<Pipe>) -> bool {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let messages = self.context.mailbox.take();
            let has_come = !messages.is_empty();
            for message in messages {
                match message.content {
                    MessageContent::Wake(waker) => waker.is_read(),
                    MessageContent::Answer(serial, answer) => connection.deliver(serial, answer),
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if has_come || left.is_zero() {
                return has_come;
            }
            thread::park_timeout(left);
        }
    }
}

fn lock(thread: &Mutex<Thread>) -> MutexGuard<'_, Thread> {
    thread.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes in memory in place of a socket: what the client has sent, and what the server has.
#[derive(Debug)]
struct Pipe {
    input: Vec<u8>,
    read: usize,
    output: Vec<u8>,
}

impl Transport for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self
            .input
            .get(self.read..)
            .unwrap_or_default()
            .read(buffer)?;
        self.read += length;
        Ok(length)
    }

    fn write(&mut self, bytes: &[u8], _more: bool) -> io::Result<usize> {
        self.output.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn send_file(&mut self, file: &File, offset: u64, length: usize) -> io::Result<usize> {
        let start = self.output.len();
        self.output.resize(start + length, 0);
        let read = file.read_at(self.output.get_mut(start..).unwrap_or_default(), offset)?;
        self.output.truncate(start + read);
        Ok(read)
    }

    fn shutdown(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn reset(&mut self) -> io::Result<()> {
        self.output.clear();
        Ok(())
    }
}
