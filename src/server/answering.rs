//! From the bytes on hand to replies in the outgoing buffer: heads and bodies are taken off the front, one after the other,
//! so that pipelined requests are answered in order and leave in one write (RFC 9112 §9.3.2).
//!
//! Invariant: nothing here writes to the socket; what must happen next is said by a [`Stop`].

use std::io;
use std::time::{Duration, Instant};

use super::connection::lingering::{Discarded, Lingering};
use super::loop_context::{Answered, Client, LoopContext};
use super::promised::PromisedReply;
use super::timers::is_progress;
use crate::config::{ProtocolVersion, ServerConfig};
use crate::handler::BaseHttpRequestHandler;
use crate::http::body::BodyDecoder;
use crate::http::framing::Framing;
use crate::http::head::HeadSearch;
use crate::http::request::{Request, RequestError};
use crate::http::storage::Storage;
use crate::wire::share::Share;
use crate::wire::spool::{RequestBody, Spool};
use crate::wire::transport::Transport;

/// Replies are gathered up to this many bytes before they leave in one write.
pub(crate) const MAX_BATCH: usize = 32 * 1024;
/// Bytes of a request body in a second that are more than a trickle.
const TRICKLE: u64 = 16 * 1024;
/// Time after which the pace of a body can be told.
const PACE_KNOWN: Duration = Duration::from_millis(250);
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// One turn of a connection: what it may use, and what is left of its share.
pub(crate) struct Turn<'t, H> {
    pub(crate) context: &'t mut LoopContext<H>,
    pub(crate) client: Client,
    pub(crate) readable: Readable,
    pub(crate) share: &'t mut Share,
    pub(crate) progress: bool,
}

/// What an event, or its absence, tells about bytes to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Readable {
    /// Nothing new.
    No,
    /// Bytes have come: a short read drains them.
    Bytes,
    /// Unknown, or the peer has closed its side: only the socket's own word ends the reading.
    ToEnd,
}

impl Readable {
    /// Reads once into `room`, and notes whether more may come: `None` where the socket has nothing now.
    pub(crate) fn receive(
        &mut self,
        transport: &mut impl Transport,
        room: &mut [u8],
    ) -> io::Result<Option<usize>> {
        match transport.read(room) {
            Ok(length) => {
                // A read that does not fill the room has drained the socket: no second one is needed to be told so.
                if length < room.len() && *self == Self::Bytes {
                    *self = Self::No;
                }
                Ok(Some(length))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                *self = Self::No;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// Why the making of replies stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    /// No complete head is left.
    Incomplete,
    /// What was made must leave before more is made.
    Send,
    Then(Then),
}

/// How far a request came whose head was found.
enum Begun {
    /// It has its answer, and what follows from that; or there is no request.
    Answered(Option<Stop>),
    /// Its body is to be read.
    Body(Box<UnfinishedRequest>),
}

/// What comes after the bytes that were made have left.
#[derive(Debug)]
pub(crate) enum Then {
    /// The next request: from the bytes on hand, else from the socket.
    Parse,
    ReadBody(Box<UnfinishedRequest>),
    /// The rest of a body that no handler wants, and then the next request.
    Discard(Box<Lingering>),
    /// The reply that comes later.
    Await(Box<PromisedReply>),
    /// The peer asked for the close and has sent all it will: nothing can be lost.
    Close,
    /// The peer may still be sending, and a close would reset what it has not read.
    Linger,
    /// The handler wants no reply to arrive.
    Reset,
}

impl From<Stop> for Then {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Incomplete | Stop::Send => Self::Parse,
            Stop::Then(then) => then,
        }
    }
}

/// What is left of a request when it is answered.
#[derive(Debug)]
pub(crate) enum Rest {
    Nothing,
    /// The rest of a body that no handler wants: it is discarded when the reply has left.
    Unwanted(Box<Lingering>),
    /// It is too much to be read: this reply is the last.
    Unread,
}

/// A head that was understood, while the body arrives that its handler wants.
#[derive(Debug)]
pub(crate) struct UnfinishedRequest {
    pub(crate) head: Vec<u8>,
    decoder: BodyDecoder,
    body: Box<Spool>,
    pub(crate) length: u64,
    /// When its pace was last looked at, and how much had come by then.
    checked: (Instant, u64),
}

impl UnfinishedRequest {
    /// Whether so little has come lately that another connection may have its place.
    pub(crate) fn trickles(&self, now: Instant) -> bool {
        let (then, had) = self.checked;
        let elapsed = now.saturating_duration_since(then);
        elapsed >= PACE_KNOWN && !is_progress(self.length - had, TRICKLE, elapsed)
    }

    /// Whether as much has come as must, since this was last asked.
    pub(crate) fn keeps_pace(&mut self, now: Instant, config: &ServerConfig) -> bool {
        let (then, had) = self.checked;
        let elapsed = now.saturating_duration_since(then);
        if elapsed < config.body_timeout {
            // The deadline was that of a body before this one.
            return true;
        }
        self.checked = (now, self.length);
        is_progress(self.length - had, config.min_body_rate, elapsed)
    }
}

impl<H: BaseHttpRequestHandler> Turn<'_, H> {
    /// Answers the requests at the front of `bytes`, as many as are complete and the share allows; `search` is that for the
    /// end of the first head.
    pub(crate) fn answer(&mut self, bytes: &mut &[u8], search: &mut HeadSearch) -> Stop {
        loop {
            if self.share.requests == 0 || self.context.outgoing.buffer.bytes.len() >= MAX_BATCH {
                return Stop::Send;
            } else if bytes.is_empty() {
                return Stop::Incomplete;
            }
            let begun = self.with_storage(|turn, storage| turn.begin(bytes, search, storage));
            let stop = match begun {
                Begun::Answered(stop) => stop,
                Begun::Body(request) => self.take_body(request, bytes),
            };
            if let Some(stop) = stop {
                return stop;
            }
        }
    }

    /// Takes the head at the front of `bytes` off, and answers it if that is all of the request.
    fn begin(
        &mut self,
        bytes: &mut &[u8],
        search: &mut HeadSearch,
        storage: &mut Storage,
    ) -> Begun {
        let config = self.context.server.config();
        // It is not moved any more: a request is large.
        let found = Request::find(bytes, search, storage, config);
        let (request, span) = match &found {
            Ok(Some((request, span))) => (request, span),
            Ok(None) => return Begun::Answered(Some(Stop::Incomplete)),
            Err(error) => return Begun::Answered(Some(self.refuse(*error, bytes))),
        };
        *search = HeadSearch::default();
        self.share.requests -= 1;
        self.progress = true;
        let (head, rest) = bytes.split_at(span.end);
        let head = head.get(span.start..).unwrap_or_default();
        *bytes = rest;
        if request.meaning.framing == Framing::Length(0) {
            Begun::Answered(self.respond(request, head, RequestBody::default(), Rest::Nothing))
        } else {
            self.begin_body(request, head, bytes)
                .map_or_else(Begun::Answered, Begun::Body)
        }
    }

    /// Decides what is to become of the body of a request before it is read; `Err` has what became of the request else.
    fn begin_body(
        &mut self,
        request: &Request<'_>,
        head: &[u8],
        bytes: &mut &[u8],
    ) -> Result<Box<UnfinishedRequest>, Option<Stop>> {
        let Some(wanted) = self.context.wants_body(request, self.client) else {
            self.context
                .fail(request, self.client, "reads_body panicked");
            return Err(Some(Stop::Then(Then::Linger)));
        };
        let decoder = BodyDecoder::new(request.meaning.framing);
        let config = self.context.server.config();
        if wanted && decoder.announces_more_than(config.max_body) {
            return Err(Some(self.refuse(RequestError::BodyTooLarge, head)));
        } else if !wanted && decoder.announces_more_than(config.max_discard) {
            return Err(self.respond(request, head, RequestBody::default(), Rest::Unread));
        }
        if self.expects_continue(request) && bytes.is_empty() {
            match self.context.expect_100(request, self.client) {
                None => self
                    .context
                    .outgoing
                    .buffer
                    .bytes
                    .extend_from_slice(CONTINUE),
                Some(Answered::Aborted) => return Err(Some(Stop::Then(Then::Reset))),
                Some(_) => return Err(Some(Stop::Then(Then::Linger))),
            }
        }
        if !wanted {
            return Err(self.answer_at_once(request, head, decoder, bytes));
        }
        Ok(Box::new(UnfinishedRequest {
            head: head.to_vec(),
            decoder,
            body: Spool::boxed(&self.context.spools),
            length: 0,
            checked: (self.context.clock.instant, 0),
        }))
    }

    /// Answers a request whose body no handler wants, without waiting for the body. Of a body that is here already, the
    /// framing is checked first.
    fn answer_at_once(
        &mut self,
        request: &Request<'_>,
        head: &[u8],
        decoder: BodyDecoder,
        bytes: &mut &[u8],
    ) -> Option<Stop> {
        let config = self.context.server.config();
        let mut unwanted = Lingering::boxed(self.context.clock.instant, Some(decoder));
        let rest = match unwanted.discard(bytes, config) {
            Discarded::All => Rest::Nothing,
            Discarded::Some => Rest::Unwanted(unwanted),
            Discarded::TooMuch => Rest::Unread,
            Discarded::Malformed(error) => return Some(self.refuse(error, head)),
        };
        self.respond(request, head, RequestBody::default(), rest)
    }

    /// Takes what has come of a body for the handler; when all of it has, answers the request.
    pub(crate) fn take_body(
        &mut self,
        mut request: Box<UnfinishedRequest>,
        bytes: &mut &[u8],
    ) -> Option<Stop> {
        let UnfinishedRequest {
            decoder,
            body,
            length,
            ..
        } = request.as_mut();
        let limit = self.context.server.config().max_body;
        let mut stored = Ok(());
        let decoded = decoder.decode(bytes, |content| {
            *length += content.len() as u64;
            if *length <= limit && stored.is_ok() {
                stored = body.push(content);
            }
        });
        // In the order in which they came about: what stands behind it may be yet to come.
        let refusal = match (stored, decoded) {
            (Err(error), _) => Some(error),
            _ if *length > limit => Some(RequestError::BodyTooLarge),
            (_, Err(error)) => Some(error),
            (_, Ok(false)) => return Some(Stop::Then(Then::ReadBody(request))),
            _ => None,
        };
        if let Some(error) = refusal {
            return Some(self.refuse(error, &request.head));
        }
        let UnfinishedRequest { head, body, .. } = *request;
        match body.finish() {
            Err(error) => Some(self.refuse(error, &head)),
            Ok(body) => self.with_request(&head, |turn, request| {
                turn.respond(request, &head, body, Rest::Nothing)
            }),
        }
    }

    /// Makes the reply that was to come later, now that it can be made.
    pub(crate) fn fulfil(&mut self, promised: PromisedReply) -> Option<Stop> {
        let PromisedReply {
            coming,
            close,
            started,
            head,
            mut body,
            rest,
        } = promised;
        self.progress = true;
        self.with_request(&head, |turn, request| {
            let client = turn.client;
            let last = (close, started);
            let answered = turn
                .context
                .fulfil(request, &mut body, client, last, coming);
            turn.follow(answered, request, &head, body, rest)
        })
    }

    /// Has the handler answer, with `rest` of the request still to come.
    fn respond(
        &mut self,
        request: &Request<'_>,
        head: &[u8],
        mut body: RequestBody,
        rest: Rest,
    ) -> Option<Stop> {
        let close = matches!(rest, Rest::Unread);
        let answered = self.context.answer(request, &mut body, self.client, close);
        self.follow(answered, request, head, body, rest)
    }

    /// What follows from an answer; called by two, of which one is seldom.
    #[inline(always)]
    fn follow(
        &mut self,
        answered: Answered,
        request: &Request<'_>,
        head: &[u8],
        body: RequestBody,
        rest: Rest,
    ) -> Option<Stop> {
        let has_rest = !matches!(rest, Rest::Nothing);
        match answered {
            Answered::KeepAlive => match rest {
                Rest::Unwanted(body) => Some(Stop::Then(Then::Discard(body))),
                _ => (!self.context.outgoing.body.is_empty()).then_some(Stop::Send),
            },
            Answered::Close
                if request.meaning.keep_alive || has_rest || self.readable != Readable::No =>
            {
                Some(Stop::Then(Then::Linger))
            }
            Answered::Close => Some(Stop::Then(Then::Close)),
            Answered::Aborted => Some(Stop::Then(Then::Reset)),
            Answered::Later {
                coming,
                close,
                started,
            } => Some(Stop::Then(Then::Await(Box::new(PromisedReply {
                coming,
                close,
                started,
                head: head.to_vec(),
                body,
                rest,
            })))),
        }
    }

    /// Whether the peer waits for a word before it sends the body; HTTP/1.0 has none for it (RFC 9110 §15.2).
    fn expects_continue(&self, request: &Request<'_>) -> bool {
        let protocol = self.context.server.config().protocol_version;
        request.meaning.expects_continue && protocol == ProtocolVersion::Http11
    }

    /// Reads a head that was found before and gives the request to `then`, or refuses it.
    fn with_request(
        &mut self,
        head: &[u8],
        then: impl FnOnce(&mut Self, &Request<'_>) -> Option<Stop>,
    ) -> Option<Stop> {
        self.with_storage(|turn, storage| {
            match Request::parse(head, storage, turn.context.server.config()) {
                Ok(request) => then(turn, &request),
                Err(error) => Some(turn.refuse(error, head)),
            }
        })
    }

    /// Lends the loop's storage to a request; nothing else may need it meanwhile, or it gets one of its own.
    fn with_storage<R>(&mut self, then: impl FnOnce(&mut Self, &mut Storage) -> R) -> R {
        let mut storage = self.context.storage.take().unwrap_or_default();
        let result = then(self, &mut storage);
        self.context.storage = Some(storage);
        result
    }

    fn refuse(&mut self, error: RequestError, head: &[u8]) -> Stop {
        self.progress = true;
        self.context.refuse(error, head, self.client);
        Stop::Then(Then::Linger)
    }
}
