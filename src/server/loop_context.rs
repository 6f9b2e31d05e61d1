//! What the loop lends to a connection while it has its turn: the handler, the clock, the log, and scratch memory.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::answering::MAX_BATCH;
use super::outgoing::Outgoing;
use super::promised::Coming;
use crate::handler::BaseHttpRequestHandler;
use crate::handler::clock::Clock;
use crate::handler::exchange::{Ending, Exchange, RequestContext};
use crate::handler::log::{Log, LogEntry};
use crate::handler::mailbox::{Answer, Mailbox};
use crate::handler::reply::{Framed, Reply};
use crate::handler::server_info::ServerInfo;
use crate::handler::work::Allowance;
use crate::http::request::{Request, RequestError};
use crate::http::status::HttpStatus;
use crate::http::storage::Storage;
use crate::wire::spool::{RequestBody, SpoolLimits};

/// Seconds after which a request that had no room may come again.
const RETRY_AFTER: &str = "5";

/// Time for work in each turn of the loop; the slice that is at hand when it is over takes some more.
pub(crate) const TURN_OF_WORK: Duration = Duration::from_micros(1500);

#[derive(Debug)]
pub(crate) struct LoopContext<H> {
    pub(crate) handler: H,
    pub(crate) server: ServerInfo,
    pub(crate) clock: Clock,
    pub(crate) log: Log,
    pub(crate) outgoing: Outgoing,
    pub(crate) mailbox: Arc<Mailbox>,
    /// What was understood of the last head; away while a request borrows from it.
    pub(crate) storage: Option<Box<Storage>>,
    /// What bodies of requests may still take.
    pub(crate) spools: Arc<SpoolLimits>,
    written: Vec<u8>,
    /// Time that work may take now.
    pub(crate) allowance: Allowance,
    /// A shutdown was asked for: every reply is the last of its connection.
    pub(crate) draining: bool,
}

/// For whom a reply is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    /// The connection's key in its loop.
    pub(crate) key: usize,
}

/// What became of a request.
#[derive(Debug)]
pub(crate) enum Answered {
    /// The reply is made, and the connection may go on.
    KeepAlive,
    /// The reply is made, and is the last one.
    Close,
    /// The reply comes later; `close` says whether it is the last one, `started` when its request was begun to be answered.
    Later {
        coming: Coming,
        close: bool,
        started: Instant,
    },
    /// There is no reply: the connection is to be reset.
    Aborted,
}

impl<H: BaseHttpRequestHandler> LoopContext<H> {
    pub(crate) fn new(handler: H, server: ServerInfo, mailbox: Arc<Mailbox>, log: Log) -> Self {
        Self {
            handler,
            clock: Clock::new(),
            log,
            spools: SpoolLimits::new(server.config(), 1),
            server,
            outgoing: Outgoing::default(),
            mailbox,
            storage: None,
            written: Vec::new(),
            allowance: Allowance::new(TURN_OF_WORK),
            draining: false,
        }
    }

    /// Has the handler answer `request` into the outgoing bytes, if it is for a host that this server answers for; `close` makes it
    /// the last reply.
    pub(crate) fn answer(
        &mut self,
        request: &Request<'_>,
        body: &mut RequestBody,
        client: Client,
        close: bool,
    ) -> Answered {
        let last = (close, self.log.start(&self.clock));
        self.reply(request, body, client, last, |handler, exchange| {
            if exchange.is_misdirected() {
                send_misdirected(exchange);
                return Ok(());
            }
            handler.handle_one_request(exchange)
        })
    }

    /// Asks the handler whether it wants the body of `request`; `None` where it panics.
    pub(crate) fn wants_body(&mut self, request: &Request<'_>, client: Client) -> Option<bool> {
        if self.server.is_misdirected(request) {
            return Some(false);
        }
        let (command, path) = (request.command, request.path_text());
        self.hook(client.address, |handler| handler.reads_body(command, path))
    }

    /// Makes the reply to `request` that has come now; of a promise without an answer it is a 500.
    pub(crate) fn fulfil(
        &mut self,
        request: &Request<'_>,
        body: &mut RequestBody,
        client: Client,
        (close, started): (bool, Instant),
        coming: Coming,
    ) -> Answered {
        let last = (close, started);
        self.reply(request, body, client, last, |_, exchange| match coming {
            Coming::Given(Some(Answer(make))) => make(exchange),
            Coming::Work(work) => work.reply(exchange),
            Coming::Given(None) | Coming::Promised(_) => {
                Err(io::Error::other("the promised reply was dropped"))
            }
        })
    }

    /// Goes on with the work that `coming` is, if there is time; `true` where the reply can be made. Work that panics comes to
    /// nothing, which is a 500.
    pub(crate) fn advance(&mut self, coming: &mut Coming) -> bool {
        let Coming::Work(work) = coming else {
            return matches!(coming, Coming::Given(_));
        };
        if self.allowance.is_spent() {
            return false;
        }
        let advance = |until| catch_unwind(AssertUnwindSafe(|| work.advance(until)));
        self.allowance.spend(advance).unwrap_or_else(|_| {
            *coming = Coming::Given(None);
            true
        })
    }

    /// Asks the handler whether a body may come; `None` where it may, else what became of the request.
    pub(crate) fn expect_100(&mut self, request: &Request<'_>, client: Client) -> Option<Answered> {
        let start = self.outgoing.buffer.bytes.len();
        let concluded = self.with_exchange(
            request,
            &mut RequestBody::default(),
            client,
            |handler, exchange| {
                let decided = catch_unwind(AssertUnwindSafe(|| {
                    if exchange.is_misdirected() {
                        send_misdirected(exchange);
                        return Ok(false);
                    }
                    handler.handle_expect_100(exchange)
                }));
                match &decided {
                    Ok(Ok(true)) => {
                        exchange.discard();
                        return None;
                    }
                    Ok(Ok(false)) if !exchange.is_begun() => {
                        exchange.send_error(HttpStatus::EXPECTATION_FAILED, None, None);
                    }
                    _ => {}
                }
                Some(conclude(
                    handler,
                    exchange,
                    decided.map(|decided| decided.map(|_| ())),
                    true,
                ))
            },
        );
        let started = self.log.start(&self.clock);
        Some(self.take_in(concluded?, start, request, started))
    }

    /// Answers a request that the handler failed on before it was asked for a reply: a 500, the last reply.
    pub(crate) fn fail(&mut self, request: &Request<'_>, client: Client, failure: &'static str) {
        let last = (true, self.log.start(&self.clock));
        self.reply(
            request,
            &mut RequestBody::default(),
            client,
            last,
            |_, _| Err(io::Error::other(failure)),
        );
    }

    /// Answers what cannot be understood as a request, for the last time on this connection.
    pub(crate) fn refuse(&mut self, error: RequestError, head: &[u8], client: Client) {
        let request = Request::refused(head);
        let last = (true, self.log.start(&self.clock));
        self.reply(
            &request,
            &mut RequestBody::default(),
            client,
            last,
            |_, exchange| {
                exchange.send_error(error.status(), Some(error.message()), None);
                if error == RequestError::TooManyBodies {
                    exchange.send_header("Retry-After", RETRY_AFTER);
                }
                Ok(())
            },
        );
    }

    /// Runs `respond` and frames what it made; `close` makes it the last reply. The request is logged as one that `started` then.
    fn reply(
        &mut self,
        request: &Request<'_>,
        body: &mut RequestBody,
        client: Client,
        (close, started): (bool, Instant),
        respond: impl FnOnce(&mut H, &mut Exchange<'_>) -> io::Result<()>,
    ) -> Answered {
        let start = self.outgoing.buffer.bytes.len();
        let close = close || self.draining;
        let concluded = self.with_exchange(request, body, client, |handler, exchange| {
            let responded = catch_unwind(AssertUnwindSafe(|| {
                // This request may depend on what the ones before it have changed.
                if handler.may_change_files() {
                    exchange.clock().begin_epoch();
                }
                respond(handler, exchange)
            }));
            conclude(handler, exchange, responded, close)
        });
        self.take_in(concluded, start, request, started)
    }

    fn with_exchange<R>(
        &mut self,
        request: &Request<'_>,
        body: &mut RequestBody,
        client: Client,
        run: impl FnOnce(&mut H, &mut Exchange<'_>) -> R,
    ) -> R {
        let context = RequestContext {
            client_address: client.address,
            key: client.key,
            server: &self.server,
            clock: &self.clock,
            mailbox: &self.mailbox,
            log: &mut self.log,
            allowance: &mut self.allowance,
        };
        let Outgoing {
            buffer, body: rest, ..
        } = &mut self.outgoing;
        let reply = Reply::new(&mut buffer.bytes, rest, &mut self.written);
        run(
            &mut self.handler,
            &mut Exchange::new(request, body, context, reply),
        )
    }

    /// Notes what an exchange came to, whose reply stands in the outgoing bytes from `start` on.
    #[inline(always)]
    fn take_in(
        &mut self,
        concluded: Concluded,
        start: usize,
        request: &Request<'_>,
        started: Instant,
    ) -> Answered {
        self.written.clear();
        self.written.shrink_to(MAX_BATCH);
        self.server.counters.requests += u64::from(!matches!(concluded, Concluded::Later { .. }));
        match concluded {
            Concluded::Reply(framed) => {
                let keep_alive = framed.keep_alive;
                self.outgoing
                    .push(framed, start, request, started, &self.log);
                if keep_alive {
                    Answered::KeepAlive
                } else {
                    Answered::Close
                }
            }
            Concluded::Later { coming, close } => Answered::Later {
                coming,
                close,
                started,
            },
            Concluded::Aborted => Answered::Aborted,
        }
    }

    /// Calls a hook of the handler; its panic is a line in the log, and nobody else's matter.
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

    /// Logs the replies of the scratch that have left; all that remain where the connection ends (`last`).
    #[inline]
    pub(crate) fn log_scratch(&mut self, client: Client, last: bool) {
        if !self.log.is_on() {
            return;
        }
        let mut outgoing = mem::take(&mut self.outgoing);
        self.log(&mut outgoing, client, last);
        self.outgoing = outgoing;
    }

    /// Logs the replies of `outgoing` that have left; all that remain where the connection ends (`last`).
    pub(crate) fn log(&mut self, outgoing: &mut Outgoing, client: Client, last: bool) {
        let (handler, clock) = (&mut self.handler, &self.clock);
        outgoing.log(last, |record, arena, sent| {
            let write = |entry: &LogEntry<'_>, line: &mut Vec<u8>| {
                let start = line.len();
                // A panic costs the line, not the loop.
                if catch_unwind(AssertUnwindSafe(|| handler.log_request(entry, line))).is_err() {
                    line.truncate(start);
                }
            };
            self.log
                .request(client.address, (record, arena), sent, clock, write);
        });
    }
}

/// Says that this server does not answer for the host of the request (RFC 9110 §15.5.20).
fn send_misdirected(exchange: &mut Exchange<'_>) {
    let explain = "This server does not answer for the host that was asked for";
    exchange.send_error(HttpStatus::MISDIRECTED_REQUEST, None, Some(explain));
}

/// What an exchange came to.
enum Concluded {
    Reply(Framed),
    Later { coming: Coming, close: bool },
    Aborted,
}

fn later(coming: Coming, exchange: &Exchange<'_>, close: bool) -> Concluded {
    let close = close || exchange.close_connection();
    Concluded::Later { coming, close }
}

/// Frames what the handler made; its failure, panic or misuse is a clean 500.
fn conclude<H: BaseHttpRequestHandler>(
    handler: &mut H,
    exchange: &mut Exchange<'_>,
    responded: thread::Result<io::Result<()>>,
    close: bool,
) -> Concluded {
    let failure = match responded {
        Ok(Ok(())) => match exchange.take_ending() {
            Ok(Ending::Reply) => match exchange.finish(close) {
                Ok(framed) => return Concluded::Reply(framed),
                Err(error) => error.to_string(),
            },
            Ok(Ending::Deferred(promise)) => {
                return later(Coming::Promised(promise), exchange, close);
            }
            Ok(Ending::Work(work)) => return later(Coming::Work(work), exchange, close),
            Ok(Ending::Aborted) => {
                exchange.discard();
                return Concluded::Aborted;
            }
            Err(misuse) => misuse.to_owned(),
        },
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the handler panicked".to_owned(),
    };
    // Its own panic changes nothing: the client gets its 500.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        handler.handle_error(exchange, &failure);
    }));
    exchange.send_error(HttpStatus::INTERNAL_SERVER_ERROR, None, None);
    let framed = exchange.finish(close);
    // The page of a 500 stands in memory, so there is nothing that could fail about it.
    framed.map_or(Concluded::Aborted, Concluded::Reply)
}
