//! What the loop lends to a connection while it has its turn: the handler, the clock, the log, and scratch memory.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use super::outgoing::Outgoing;
use crate::handler::BaseHttpRequestHandler;
use crate::handler::clock::Clock;
use crate::handler::exchange::Exchange;
use crate::handler::log::Log;
use crate::handler::reply::Reply;
use crate::handler::server_info::ServerInfo;
use crate::http::request::{Request, RequestError};
use crate::http::status::HttpStatus;

#[derive(Debug)]
pub(crate) struct Desk<H> {
    pub(crate) handler: H,
    pub(crate) server: ServerInfo,
    pub(crate) clock: Clock,
    pub(crate) log: Log,
    pub(crate) outgoing: Outgoing,
    written: Vec<u8>,
    /// A shutdown was asked for: every reply is the last of its connection.
    pub(crate) draining: bool,
}

impl<H: BaseHttpRequestHandler> Desk<H> {
    pub(crate) fn new(handler: H, server: ServerInfo) -> Self {
        Self {
            handler,
            clock: Clock::new(),
            log: Log::new(server.config().log_format),
            server,
            outgoing: Outgoing::default(),
            written: Vec::new(),
            draining: false,
        }
    }

    /// Has the handler answer `request` into the outgoing bytes; `close` makes it the last reply. Returns whether the
    /// connection may go on.
    pub(crate) fn answer(
        &mut self,
        request: &Request<'_>,
        client: SocketAddr,
        close: bool,
    ) -> bool {
        let started = self.log.start(&self.clock);
        self.reply(
            request,
            client,
            close,
            started,
            |handler, exchange| match catch_unwind(AssertUnwindSafe(|| {
                handler.handle_one_request(exchange)
            })) {
                Ok(Ok(())) => exchange.misuse().map(str::to_owned),
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some("the handler panicked".to_owned()),
            },
        )
    }

    /// Answers what cannot be understood as a request, for the last time on this connection.
    pub(crate) fn refuse(&mut self, error: RequestError, head: &[u8], client: SocketAddr) {
        let started = self.log.start(&self.clock);
        self.reply(
            &Request::refused(head),
            client,
            true,
            started,
            |_, exchange| {
                exchange.send_error(error.status(), Some(error.message()), None);
                None
            },
        );
    }

    fn reply(
        &mut self,
        request: &Request<'_>,
        client: SocketAddr,
        close: bool,
        started: Instant,
        respond: impl FnOnce(&mut H, &mut Exchange<'_>) -> Option<String>,
    ) -> bool {
        let start = self.outgoing.buffer.bytes.len();
        let close = close || self.draining;
        let reply = Reply::new(&mut self.outgoing.buffer.bytes, &mut self.written);
        let mut exchange = Exchange::new(request, client, &self.server, &self.clock, reply);
        let mut failure = respond(&mut self.handler, &mut exchange);
        let mut framed = None;
        if failure.is_none() {
            match exchange.finish(close) {
                Ok(ready) => framed = Some(ready),
                Err(error) => failure = Some(error.to_string()),
            }
        }
        if let Some(failure) = failure {
            self.log.error(
                client,
                &self.clock,
                format_args!(
                    "{}: {failure}",
                    String::from_utf8_lossy(request.requestline)
                ),
            );
            exchange.send_error(HttpStatus::INTERNAL_SERVER_ERROR, None, None);
            framed = exchange.finish(close).ok();
        }
        let Some(framed) = framed else {
            return false;
        };
        let keep_alive = framed.keep_alive;
        self.outgoing
            .push(framed, start, request, started, &self.log);
        keep_alive
    }
}
