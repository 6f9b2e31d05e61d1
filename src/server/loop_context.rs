//! What the loop lends to a connection while it has its turn: the handler, the clock, the log, and the outgoing buffer.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::connection::outgoing::Outgoing;
use super::finished_replies::FinishedReplies;
use super::listen::addresses::Addresses;
use crate::handler::client::Client;
use crate::handler::clock::Clock;
use crate::handler::ending::Ending;
use crate::handler::exchange::Exchange;
use crate::handler::log::{Log, LogEntry};
use crate::handler::mailbox::Mailbox;
use crate::handler::request_context::RequestContext;
use crate::handler::server_info::ServerInfo;
use crate::handler::work::Allowance;
use crate::handler::{BaseHttpRequestHandler, HandlerResult};
use crate::http::request::Request;
use crate::wire::spool::{RequestBody, SpoolLimits};

/// Time for work in each turn of the loop; the slice that is running when it is over may take longer.
pub(crate) const TURN_OF_WORK: Duration = Duration::from_micros(1500);

/// What the connections of a loop share.
#[derive(Debug)]
pub(crate) struct LoopContext<H> {
    pub(crate) handler: H,
    pub(crate) server: ServerInfo,
    pub(crate) clock: Clock,
    pub(crate) log: Log,
    /// The user that the handler has found to send the request that it answers; `None` between two requests.
    pub(crate) user: Option<Box<str>>,
    /// What is made for the connection that has its turn.
    pub(crate) outgoing: Outgoing,
    pub(crate) mailbox: Arc<Mailbox>,
    /// What the bodies of requests may still take.
    pub(crate) spools: Arc<SpoolLimits>,
    /// How many connections each client has.
    pub(crate) addresses: Addresses,
    /// Time that work may take now.
    pub(crate) allowance: Allowance,
    /// The loop no longer listens: connections without a request soon close, and a reply without an end is cut.
    pub(crate) is_closing: bool,
    /// Replies that have left, until the end of the turn says how long they took.
    pub(crate) finished: FinishedReplies,
}

impl<H: BaseHttpRequestHandler> LoopContext<H> {
    pub(crate) fn new(handler: H, server: ServerInfo, mailbox: Arc<Mailbox>, log: Log) -> Self {
        Self {
            handler,
            clock: Clock::new(),
            log,
            spools: SpoolLimits::new(server.config(), 1),
            addresses: Addresses::new(server.config(), 1),
            server,
            user: None,
            outgoing: Outgoing::default(),
            mailbox,
            allowance: Allowance::new(TURN_OF_WORK),
            is_closing: false,
            finished: FinishedReplies::default(),
        }
    }

    /// Makes the reply to `request` by `make`, at the end of the outgoing bytes; `close` makes it the last reply. The request is
    /// logged as one that `started` then.
    pub(crate) fn reply(
        &mut self,
        request: &Request<'_>,
        body: &mut RequestBody,
        client: &Client,
        close: bool,
        started: Instant,
        make: impl FnOnce(&mut H, &mut Exchange<'_>) -> HandlerResult,
    ) -> Ending {
        let start = self.outgoing.buffer.bytes.len();
        let close = close || self.server.is_draining();
        let ending = {
            let (handler, mut exchange) = self.exchange(request, body, client);
            let made = catch_unwind(AssertUnwindSafe(|| {
                // This request may depend on what the ones before it have changed.
                if handler.may_change_files() {
                    exchange.clock().begin_epoch();
                }
                make(handler, &mut exchange)
            }));
            exchange.end(handler, made, close)
        };
        self.note(&ending, start, request, client, started);
        ending
    }

    /// Begins an exchange, which appends its reply to the outgoing bytes; returns the handler along with it.
    pub(crate) fn exchange<'a>(
        &'a mut self,
        request: &'a Request<'a>,
        body: &'a mut RequestBody,
        client: &'a Client,
    ) -> (&'a mut H, Exchange<'a>) {
        let context = RequestContext {
            client,
            server: &self.server,
            clock: &self.clock,
            mailbox: &self.mailbox,
            log: &mut self.log,
            user: &mut self.user,
            allowance: &mut self.allowance,
        };
        let exchange = Exchange::new(request, body, context, self.outgoing.begin_reply());
        (&mut self.handler, exchange)
    }

    /// Counts an exchange that has ended, and remembers to log its reply, which stands in the outgoing bytes from `start` on.
    // Inlined into both callers; `reply` runs for every request.
    #[inline(always)]
    pub(crate) fn note(
        &mut self,
        ending: &Ending,
        start: usize,
        request: &Request<'_>,
        client: &Client,
        started: Instant,
    ) {
        self.outgoing.end_reply();
        match ending {
            Ending::Later { .. } => {}
            Ending::Aborted => {
                self.user = None;
                self.server.counters.count_request(request.command, None);
            }
            Ending::Reply(framed) => {
                let counters = &mut self.server.counters;
                counters.count_request(request.command, Some(framed.status));
                self.outgoing
                    .push(framed, start, request, started, &self.log);
                if self.log.is_on() && client.proxied().is_some() {
                    self.note_client(request, client);
                }
                if let Some(user) = self.user.take() {
                    self.outgoing.name_user(&user);
                }
            }
        }
    }

    /// Counts how long the requests took whose replies have left in the turn that `lasted` so long and `ended` then.
    pub(crate) fn count_durations(&mut self, lasted: Duration, ended: Instant) {
        let durations = &mut self.server.counters.durations;
        self.finished.count(durations, lasted, ended);
    }

    /// Remembers the client that a proxy has named, to log it with the reply.
    #[cold]
    fn note_client(&mut self, request: &Request<'_>, client: &Client) {
        let address = client.address(request.headers, self.server.config());
        self.outgoing.push_client(address);
    }

    /// Calls a hook of the handler; `None` where it panics, which is only logged.
    pub(crate) fn hook<R>(
        &mut self,
        address: SocketAddr,
        hook: impl FnOnce(&mut H) -> R,
    ) -> Option<R> {
        let called = catch_unwind(AssertUnwindSafe(|| hook(&mut self.handler)));
        if called.is_err() {
            self.log
                .error(address, &self.clock, "a hook of the handler panicked");
        }
        called.ok()
    }

    /// Logs the outgoing replies that have left; all that remain where the connection ends (`last`).
    #[inline]
    pub(crate) fn log_outgoing(&mut self, client: &Client, last: bool) {
        if self.log.is_on() {
            let Self {
                handler,
                log,
                clock,
                outgoing,
                ..
            } = self;
            log_replies(outgoing, client, last, handler, log, clock);
        }
    }

    /// Logs the replies of `outgoing` that have left; all that remain where the connection ends (`last`).
    pub(crate) fn log(&mut self, outgoing: &mut Outgoing, client: &Client, last: bool) {
        let (handler, log, clock) = (&mut self.handler, &mut self.log, &self.clock);
        log_replies(outgoing, client, last, handler, log, clock);
    }
}

/// Lets `handler` write the lines of the replies of `outgoing` that have left, or of all that remain (`last`).
fn log_replies<H: BaseHttpRequestHandler>(
    outgoing: &mut Outgoing,
    client: &Client,
    last: bool,
    handler: &mut H,
    log: &mut Log,
    clock: &Clock,
) {
    outgoing.log(last, |named, reply, sent| {
        let write = |entry: &LogEntry<'_>, line: &mut Vec<u8>| {
            let start = line.len();
            // A panic loses the line, and the loop goes on.
            if catch_unwind(AssertUnwindSafe(|| handler.log_request(entry, line))).is_err() {
                line.truncate(start);
            }
        };
        log.request((client, named), reply, sent, clock, write);
    });
}
