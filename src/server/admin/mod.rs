//! The administration of a server: `/livez`, `/readyz` and `/metrics` on an address of their own.
//!
//! It is a second event loop with a handler of its own, whose poll is one more event source of the server's first loop: it shares
//! that loop's thread, and neither its connections, its limits nor its log. So a server with no room for another client still
//! answers here, and the path of the site's requests is the same as without it.
//!
//! Invariant: nothing here waits. A reply that needs other loops is promised, and given when they have answered, or without those
//! that hang.

use std::io;
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Interest, Poll};

pub(crate) mod figures;
mod handler;
mod metrics;
mod process;
mod text;

use self::handler::AdminHandler;
use self::metrics::Scrape;
use self::process::Process;
use super::event_loop::{ADMIN, EventLoop};
use super::lifecycle::handle::ServerHandle;
use super::listen::listener::Endpoint;
use super::listen::socket::ListeningSocket;
use super::{local_addresses, new_context};
use crate::config::{LogFormat, ServerConfig};
use crate::handler::log::Log;
use crate::handler::ready_checks::{Readiness, ReadyChecks};
use crate::http::status::HttpStatus;
use crate::wire::file_threads::FileThreads;

/// How long a scrape waits for loops that do not give their figures.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long the checks of `/readyz` may take. From then on the server is not ready, until they are done. A probe of Kubernetes waits
/// for 1 s, and should get the reason.
const CHECK_PATIENCE: Duration = Duration::from_millis(500);
/// Connections to the administration. At the limit the one that has been idle longest makes room.
const MAX_CONNECTIONS: usize = 16;

/// The administration of one server.
#[derive(Debug)]
pub(crate) struct Administration {
    event_loop: EventLoop<AdminHandler>,
    process: Process,
    has_event: bool,
    /// When the scrapes that wait are answered in any case.
    deadline: Option<Instant>,
    /// The checks of `/readyz` that are under way, and since when. There are no further ones before these are done, so a file system
    /// that hangs costs one file thread for them.
    checks: Option<(ReadyChecks, Instant)>,
}

impl Administration {
    /// Makes the administration that listens on `listeners`; to be called before the process is confined.
    ///
    /// # Errors
    /// A socket cannot be polled.
    pub(crate) fn new(listeners: Vec<ListeningSocket>) -> io::Result<Box<Self>> {
        let config = ServerConfig::default().with(|config| {
            config.log_format = LogFormat::None;
            config.max_connections = Some(MAX_CONNECTIONS);
        });
        let addresses = local_addresses(&listeners);
        let endpoint = Endpoint::with(listeners)?;
        let handle = ServerHandle::new([endpoint.poll.registry()].into_iter())?;
        let (handler, log) = (AdminHandler::default(), Log::new(config.log_format));
        let context = new_context(handler, config, &addresses, &handle, 0, log, None)?;
        Ok(Box::new(Self {
            event_loop: EventLoop::new(endpoint, context, handle, 0),
            process: Process::open(),
            has_event: false,
            deadline: None,
            checks: None,
        }))
    }

    /// Makes its events an event of the server's `poll`.
    pub(crate) fn register(&mut self, poll: &Poll) -> io::Result<()> {
        let fd = self.event_loop.poll().as_raw_fd();
        let registry = poll.registry();
        registry.register(&mut SourceFd(&fd), ADMIN, Interest::READABLE)
    }

    /// Notes that the poll has reported its events.
    pub(crate) fn note_event(&mut self) {
        self.has_event = true;
    }

    pub(crate) fn is_due(&self, now: Instant) -> bool {
        let deadline = self.event_loop.next_deadline();
        self.has_event || deadline.is_some_and(|deadline| deadline <= now)
    }

    /// Returns when it has something to do without an event.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let is_asked = !self.event_loop.context().handler.readiness.is_empty();
        let checks = self.checks.as_ref().filter(|_| is_asked);
        let deadlines = [
            self.event_loop.next_deadline(),
            self.deadline,
            checks.map(|(_, began)| *began + CHECK_PATIENCE),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// Answers what has come, without waiting.
    pub(crate) fn turn(&mut self) -> io::Result<()> {
        self.has_event = false;
        self.event_loop.turn(Some(Duration::ZERO))
    }

    fn handler(&mut self) -> &mut AdminHandler {
        &mut self.event_loop.context_mut().handler
    }

    /// Whether `/readyz` was asked for, and no check is under way that will tell.
    pub(crate) fn needs_checks(&mut self) -> bool {
        self.checks.is_none() && !self.handler().readiness.is_empty()
    }

    /// Waits for `checks`, which began `now`.
    pub(crate) fn wait_for(&mut self, checks: ReadyChecks, now: Instant) {
        self.checks = Some((checks, now));
    }

    /// Answers `/readyz` if the checks are done or take too long.
    pub(crate) fn settle_checks(&mut self, now: Instant) {
        let is_asked = !self.handler().readiness.is_empty();
        let Some((checks, began)) = &mut self.checks else {
            return;
        };
        if let Some(readiness) = checks.result() {
            self.checks = None;
            self.answer_readiness(&readiness);
        } else if is_asked && now >= *began + CHECK_PATIENCE {
            let readiness = checks.so_far();
            self.answer_readiness(&readiness);
        }
    }

    /// Answers `/readyz`.
    pub(crate) fn answer_readiness(&mut self, readiness: &Readiness) {
        for asked in self.handler().readiness.drain(..) {
            let (status, text) = match readiness {
                Ok(()) => (HttpStatus::OK, "ok\n".to_owned()),
                Err(reason) => (HttpStatus::SERVICE_UNAVAILABLE, format!("{reason}\n")),
            };
            asked.answer(move |exchange| {
                handler::send_now(exchange, status, &text);
                Ok(())
            });
        }
    }

    /// Asks the loops behind `handle` for their figures if `/metrics` was asked for, and answers once they have given them.
    pub(crate) fn scrape(
        &mut self,
        now: Instant,
        handle: &ServerHandle,
        file_threads: Option<&FileThreads>,
        is_draining: bool,
    ) {
        let handler = self.handler();
        if !handler.new_scrapes.is_empty() {
            handler.scrapes.append(&mut handler.new_scrapes);
            handle.ask_for_figures();
            self.deadline.get_or_insert(now + PATIENCE);
        }
        let Some(deadline) = self.deadline else {
            return;
        };
        if !handle.has_all_figures() && now < deadline {
            return;
        }
        self.deadline = None;
        let scrape = Scrape {
            loops: handle.figures(),
            file_threads: file_threads.map(FileThreads::figures).unwrap_or_default(),
            process: self.process.read(),
            is_draining,
            now,
        };
        for (format, asked) in self.handler().scrapes.drain(..) {
            let text = scrape.text(format);
            asked.answer(move |exchange| {
                exchange.send_response(HttpStatus::OK);
                exchange.send_header("Content-Type", format.media_type());
                exchange.send_header("Cache-Control", "no-store");
                exchange.end_headers();
                io::Write::write_all(&mut exchange.wfile(), text.as_bytes())?;
                Ok(())
            });
        }
    }
}

#[cfg(test)]
mod tests;
