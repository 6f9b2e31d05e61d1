//! From received bytes to replies in the outgoing buffer: requests are taken off the front, one after the other, so that
//! pipelined requests are answered in order and leave in one write (RFC 9112 §9.3.2).
//!
//! Invariant: nothing here reads from the socket or writes to it; [`Then`] says what must happen next.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use super::arriving::{ArrivingBody, UnfinishedRequest};
use super::counting::count_request;
use super::lingering::{Discarded, Lingering};
use super::promised::{PromisedReply, Rest};
use super::then::Then;
use super::unparsed::Received;
use crate::config::ProtocolVersion;
use crate::handler::client::Client;
use crate::handler::ending::{Coming, Ending};
use crate::handler::exchange::Exchange;
use crate::handler::mailbox::Answer;
use crate::handler::waits::Waits;
use crate::handler::{BaseHttpRequestHandler, HandlerResult};
use crate::http::body::BodyDecoder;
use crate::http::framing::Framing;
use crate::http::request::owned::OwnedRequest;
use crate::http::request::{Request, RequestError};
use crate::http::status::HttpStatus;
use crate::http::storage::Storage;
use crate::server::loop_context::LoopContext;
use crate::wire::share::Share;
use crate::wire::spool::{RequestBody, Spool};

/// Replies are gathered up to this many bytes before they leave in one write.
pub(crate) const MAX_BATCH: usize = 32 * 1024;
/// Seconds after which a client may send a request again that found no room.
const RETRY_AFTER: &str = "5";
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Makes the replies to what one client has sent.
pub(super) struct Answering<'t, H> {
    pub(super) context: &'t mut LoopContext<H>,
    pub(super) client: &'t mut Client,
    pub(super) share: &'t mut Share,
    /// Whether the peer may have sent more than was read.
    pub(super) may_have_sent_more: bool,
}

impl<H: BaseHttpRequestHandler> Answering<'_, H> {
    /// Answers the requests at the front of `received`: as many as are complete, and as the share and the outgoing buffer
    /// allow.
    pub(super) fn answer(&mut self, received: &mut Received<'_>, storage: &mut Storage) -> Then {
        if !self.may_answer(received) {
            return Then::Parse;
        }
        loop {
            let then = self.take_request(received, storage);
            if !matches!(then, Then::Parse) || !self.may_answer(received) {
                return then;
            }
        }
    }

    /// Whether there are bytes of another request, and its reply may be made before the others have left.
    fn may_answer(&self, received: &Received<'_>) -> bool {
        let outgoing = &self.context.outgoing;
        !received.bytes.is_empty()
            && self.share.requests > 0
            && outgoing.buffer.bytes.len() < MAX_BATCH
            && outgoing.body.is_empty()
    }

    /// Takes the head at the front of `received` off, and answers it if that is all of the request.
    fn take_request(&mut self, received: &mut Received<'_>, storage: &mut Storage) -> Then {
        let config = self.context.server.config();
        // The request stays in the result, because it is large to move.
        let found = Request::find(received.bytes, &mut received.search, storage, config);
        let (request, span) = match &found {
            Ok(Some((request, span))) => (request, span),
            Ok(None) => return Then::ReadHead,
            Err(error) => return self.refuse(*error, received.bytes),
        };
        received.take_head(span.end);
        self.share.requests -= 1;
        self.share.progress = true;
        if self.client.proxied().is_some() && !self.has_room(request) {
            return self.refuse_client(request, &mut received.bytes);
        }
        if request.meaning.framing == Framing::Length(0) {
            self.respond(request, RequestBody::default(), Rest::Nothing)
        } else {
            self.begin_body(request, &mut received.bytes)
        }
    }

    /// Decides what becomes of the body of a request before the body is read.
    fn begin_body(&mut self, request: &Request<'_>, bytes: &mut &[u8]) -> Then {
        let Some(wanted) = self.wants_body(request) else {
            return self.fail(request, "reads_body panicked");
        };
        let decoder = BodyDecoder::new(request.meaning.framing);
        let config = self.context.server.config();
        if wanted && decoder.announces_more_than(config.max_body) {
            return self.refuse(RequestError::BodyTooLarge, request.requestline);
        } else if !wanted && decoder.announces_more_than(config.max_discard) {
            return self.respond(request, RequestBody::unread(), Rest::Unread);
        }
        if self.expects_continue(request) && bytes.is_empty() {
            match self.expect_100(request) {
                None => {
                    let out = &mut self.context.outgoing.buffer.bytes;
                    out.extend_from_slice(CONTINUE);
                }
                Some(Ending::Aborted) => return Then::Reset,
                Some(_) => return Then::Linger,
            }
        }
        if wanted {
            self.take_new_body(request, decoder, bytes)
        } else {
            self.answer_at_once(request, decoder, bytes)
        }
    }

    /// Begins to take a body for the handler. A request that is complete already is not copied.
    fn take_new_body(
        &mut self,
        request: &Request<'_>,
        decoder: BodyDecoder,
        bytes: &mut &[u8],
    ) -> Then {
        let spool = Spool::boxed(&self.context.spools);
        let now = self.context.clock.instant;
        let mut body = ArrivingBody::new(decoder, spool, now);
        match body.take(bytes, self.context.server.config().max_body) {
            Ok(true) => self.respond_with_body(request, body),
            Ok(false) => Then::ReadBody(Box::new(UnfinishedRequest {
                request: OwnedRequest::of(request),
                body,
            })),
            Err(error) => self.refuse(error, request.requestline),
        }
    }

    /// Asks the handler whether it wants the body of `request`; `None` where it panics.
    fn wants_body(&mut self, request: &Request<'_>) -> Option<bool> {
        let (server, scheme) = (&self.context.server, self.client.scheme);
        if scheme.is_redirected() || server.is_misdirected(request, scheme.default_port()) {
            return Some(false);
        }
        let (command, path) = (request.command, request.path_text());
        let address = self.client.address(request.headers, server.config());
        self.context
            .hook(address, |handler| handler.reads_body(command, path))
    }

    /// Whether the peer waits for `100 Continue` before it sends the body; HTTP/1.0 has no such reply (RFC 9110 §15.2).
    fn expects_continue(&self, request: &Request<'_>) -> bool {
        let protocol = self.context.server.config().protocol_version;
        request.meaning.expects_continue && protocol == ProtocolVersion::Http11
    }

    /// Asks the handler whether the body may come; `None` where it may, otherwise how the request ended.
    fn expect_100(&mut self, request: &Request<'_>) -> Option<Ending> {
        let mut body = RequestBody::default();
        let start = self.context.outgoing.buffer.bytes.len();
        let (handler, mut exchange) = self.context.exchange(request, &mut body, self.client);
        let decided = catch_unwind(AssertUnwindSafe(|| {
            if answer_without_handler(&mut exchange) {
                return Ok(false);
            }
            handler.handle_expect_100(&mut exchange)
        }));
        match &decided {
            Ok(Ok(true)) => {
                exchange.discard();
                drop(exchange);
                self.context.user = None;
                return None;
            }
            Ok(Ok(false)) if !exchange.is_begun() => {
                exchange.send_error(HttpStatus::EXPECTATION_FAILED, None, None);
            }
            _ => {}
        }
        let decided = decided.map(|decided| decided.map(|_| ()));
        let ending = exchange.end(handler, decided, true);
        drop(exchange);
        let started = self.context.log.start(&self.context.clock);
        self.context
            .note(&ending, start, request, self.client, started);
        Some(ending)
    }

    /// Answers a request without waiting for its body, which the handler does not want. The framing of what has come already
    /// is checked first.
    fn answer_at_once(
        &mut self,
        request: &Request<'_>,
        decoder: BodyDecoder,
        bytes: &mut &[u8],
    ) -> Then {
        match self.discard(decoder, bytes) {
            Ok(rest) => self.respond(request, RequestBody::unread(), rest),
            Err(error) => self.refuse(error, request.requestline),
        }
    }

    /// Discards what has come of a body, and returns what is still to come.
    fn discard(&self, decoder: BodyDecoder, bytes: &mut &[u8]) -> Result<Rest, RequestError> {
        let config = self.context.server.config();
        let mut unwanted = Lingering::boxed(self.context.clock.instant, Some(decoder));
        match unwanted.discard(bytes, config) {
            Discarded::All => Ok(Rest::Nothing),
            Discarded::Some => Ok(Rest::Unwanted(unwanted)),
            Discarded::TooMuch => Ok(Rest::Unread),
            Discarded::Malformed(error) => Err(error),
        }
    }

    /// Counts the connection of a proxy for the client of `request`. Returns whether there was room.
    #[cold]
    fn has_room(&mut self, request: &Request<'_>) -> bool {
        let LoopContext {
            addresses, server, ..
        } = &mut *self.context;
        count_request(self.client, request, addresses, server.config())
    }

    /// Answers a request of a client behind a proxy that has too many connections. The connection stays, because it may bring
    /// requests of other clients.
    #[cold]
    fn refuse_client(&mut self, request: &Request<'_>, bytes: &mut &[u8]) -> Then {
        let decoder = BodyDecoder::new(request.meaning.framing);
        let max_discard = self.context.server.config().max_discard;
        // A client that waits for 100 Continue may send the body after this reply, or not.
        let is_unsure = self.expects_continue(request) && bytes.is_empty();
        let rest = if is_unsure || decoder.announces_more_than(max_discard) {
            Ok(Rest::Unread)
        } else {
            self.discard(decoder, bytes)
        };
        let rest = match rest {
            Ok(rest) => rest,
            Err(error) => return self.refuse(error, request.requestline),
        };
        let close = matches!(rest, Rest::Unread);
        let started = self.context.log.start(&self.context.clock);
        let refusal = Coming::Given(Some(Answer::Reply(Box::new(refuse_client))));
        let body = RequestBody::unread();
        self.reply(request, body, rest, close, started, Some(refusal))
    }

    /// Takes what has come of a body for the handler; answers the request once all of it has.
    pub(super) fn take_body(
        &mut self,
        mut unfinished: Box<UnfinishedRequest>,
        bytes: &mut &[u8],
    ) -> Then {
        let max_body = self.context.server.config().max_body;
        match unfinished.body.take(bytes, max_body) {
            Ok(true) => {
                let UnfinishedRequest { request, body } = *unfinished;
                self.respond_with_body(&request.as_request(), body)
            }
            Ok(false) => Then::ReadBody(unfinished),
            Err(error) => self.refuse(error, unfinished.request.requestline()),
        }
    }

    fn respond_with_body(&mut self, request: &Request<'_>, body: ArrivingBody) -> Then {
        match body.finish() {
            Ok(body) => self.respond(request, body, Rest::Nothing),
            Err(error) => self.refuse(error, request.requestline),
        }
    }

    /// Makes the reply that was to come later, now that it can be made.
    pub(super) fn fulfil(&mut self, promised: PromisedReply) -> Then {
        self.share.progress = true;
        let PromisedReply {
            coming,
            close,
            user,
            started,
            waiting: _,
            waits,
            request,
            body,
            rest,
        } = promised;
        self.context.outgoing.began = Some(started);
        let request = request.as_request();
        self.context.user = user;
        let mut then = self.reply(&request, body, rest, close, started, Some(coming));
        match &mut then {
            Then::Await(next) => next.waits.add(&waits),
            _ => self.context.outgoing.add_waits(&waits),
        }
        then
    }

    /// Has the handler answer; `rest` is what is still to come of the request.
    fn respond(&mut self, request: &Request<'_>, body: RequestBody, rest: Rest) -> Then {
        let close = matches!(rest, Rest::Unread);
        let started = self.context.log.start(&self.context.clock);
        self.reply(request, body, rest, close, started, None)
    }

    /// Makes the reply, from `coming` or by asking the handler, and decides what follows.
    fn reply(
        &mut self,
        request: &Request<'_>,
        mut body: RequestBody,
        rest: Rest,
        close: bool,
        started: Instant,
        coming: Option<Coming>,
    ) -> Then {
        let make = |handler: &mut H, exchange: &mut Exchange<'_>| {
            let is_made = match coming {
                Some(coming) => coming.reply(exchange)?,
                None => answer_without_handler(exchange),
            };
            if is_made {
                return Ok(());
            }
            handler.handle_one_request(exchange)
        };
        let ending = self
            .context
            .reply(request, &mut body, self.client, close, started, make);
        match ending {
            Ending::Reply(framed) if framed.keep_alive => match rest {
                Rest::Unwanted(unwanted) => Then::Discard(unwanted),
                _ => Then::Parse,
            },
            Ending::Reply(_)
                if request.meaning.keep_alive
                    || !matches!(rest, Rest::Nothing)
                    || self.may_have_sent_more =>
            {
                Then::Linger
            }
            Ending::Reply(_) => Then::Close,
            Ending::Aborted => Then::Reset,
            Ending::Later { coming, close } => Then::Await(Box::new(PromisedReply {
                coming,
                close,
                user: self.context.user.take(),
                started,
                waiting: None,
                waits: Waits::default(),
                request: OwnedRequest::of(request),
                body,
                rest,
            })),
        }
    }

    /// Answers a request on which the handler failed before it was asked for a reply: a 500, and the last reply.
    fn fail(&mut self, request: &Request<'_>, failure: &'static str) -> Then {
        let started = self.context.log.start(&self.context.clock);
        let mut body = RequestBody::default();
        let fail = |_: &mut H, _: &mut Exchange<'_>| Err(failure.into());
        self.context
            .reply(request, &mut body, self.client, true, started, fail);
        Then::Linger
    }

    /// Answers what is no request, for the last time on this connection; `head` begins with the request line.
    pub(super) fn refuse(&mut self, error: RequestError, head: &[u8]) -> Then {
        self.share.progress = true;
        let started = self.context.log.start(&self.context.clock);
        let mut body = RequestBody::default();
        let refuse = |_: &mut H, exchange: &mut Exchange<'_>| {
            exchange.send_error(error.status(), Some(error.message()), None);
            if error == RequestError::TooManyBodies {
                exchange.send_header("Retry-After", RETRY_AFTER);
            }
            Ok(())
        };
        let request = Request::refused(head);
        self.context
            .reply(&request, &mut body, self.client, true, started, refuse);
        Then::Linger
    }
}

/// Answers a request that is not for the handler, and returns whether it has.
#[inline(always)]
fn answer_without_handler(exchange: &mut Exchange<'_>) -> bool {
    if exchange.is_misdirected() {
        refuse_misdirected(exchange);
        true
    } else {
        exchange.redirect_to_https()
    }
}

/// Refuses a request for a host that this server does not answer for (RFC 9110 §15.5.20).
fn refuse_misdirected(exchange: &mut Exchange<'_>) {
    let explain = "This server does not answer for the host that was asked for";
    exchange.send_error(HttpStatus::MISDIRECTED_REQUEST, None, Some(explain));
}

/// Refuses a request of a client that has too many connections (RFC 6585 §4).
fn refuse_client(exchange: &mut Exchange<'_>) -> HandlerResult {
    let explain = "This client has too many connections at a time";
    exchange.send_error(HttpStatus::TOO_MANY_REQUESTS, None, Some(explain));
    exchange.send_header("Retry-After", RETRY_AFTER);
    Ok(())
}
