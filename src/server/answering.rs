//! From the bytes on hand to replies in the outgoing buffer: heads and bodies are taken off the front, one after the other,
//! so that pipelined requests are answered in order and leave in one write (RFC 9112 §9.3.2).
//!
//! Invariant: nothing here touches the socket; what must happen next is said by a [`Stop`].

use std::net::SocketAddr;

use super::desk::Desk;
use crate::config::ProtocolVersion;
use crate::handler::BaseHttpRequestHandler;
use crate::http::body::BodyDecoder;
use crate::http::framing::Framing;
use crate::http::head::{HeadSearch, MAX_FIELDS};
use crate::http::request::{Field, Request, RequestError};

/// Replies are gathered up to this many bytes before they leave in one write.
pub(crate) const MAX_BATCH: usize = 64 * 1024;
/// Fields that most requests do not exceed: clearing room for [`MAX_FIELDS`] would cost each of them.
const FEW_FIELDS: usize = 24;
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// One turn of a connection: what it may use, and what is left of its budget.
pub(crate) struct Turn<'t, H> {
    pub(crate) desk: &'t mut Desk<H>,
    pub(crate) client: SocketAddr,
    pub(crate) readable: Readable,
    pub(crate) bytes: usize,
    pub(crate) requests: usize,
    pub(crate) progress: bool,
}

/// What an event, or its absence, tells about bytes to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readable {
    /// Nothing new.
    No,
    /// Bytes have come: a short read drains them.
    Bytes,
    /// Unknown, or the peer has closed its side: only the socket's own word ends the reading.
    ToEnd,
}

/// Why the making of replies stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    /// No complete head is left.
    Incomplete(HeadSearch),
    /// What was made must leave before more is made.
    Send,
    Then(Then),
}

/// What comes after the bytes that were made have left.
#[derive(Debug)]
pub(crate) enum Then {
    /// The next request: from the bytes on hand, else from the socket.
    Parse,
    ReadBody(Box<UnfinishedRequest>),
    /// The peer asked for the close and has sent all it will: nothing can be lost.
    Close,
    /// The peer may still be sending, and a close would reset what it has not read.
    Linger,
}

impl From<Stop> for Then {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Incomplete(_) | Stop::Send => Self::Parse,
            Stop::Then(then) => then,
        }
    }
}

/// A head that was understood, while its body arrives.
#[derive(Debug)]
pub(crate) struct UnfinishedRequest {
    pub(crate) head: Vec<u8>,
    fields: usize,
    body: BodyDecoder,
    discarded: u64,
}

impl<H: BaseHttpRequestHandler> Turn<'_, H> {
    /// Answers the requests at the front of `bytes`, as many as are complete and the budget allows.
    pub(crate) fn answer(&mut self, bytes: &mut &[u8], mut search: HeadSearch) -> Stop {
        loop {
            if self.requests == 0 || self.desk.outgoing.buffer.bytes.len() >= MAX_BATCH {
                return Stop::Send;
            }
            let span = match search.search(bytes, self.desk.server.config()) {
                Ok(None) => return Stop::Incomplete(search),
                Ok(Some(span)) => span,
                Err(error) => return self.refuse(error, bytes),
            };
            self.requests -= 1;
            self.progress = true;
            search = HeadSearch::default();
            let (head, rest) = bytes.split_at(span.end);
            *bytes = rest;
            if let Some(stop) = self.take_head(
                head.get(span.start..).unwrap_or_default(),
                span.fields,
                bytes,
            ) {
                return stop;
            }
        }
    }

    /// Answers the request of a complete `head`, once its body is complete too.
    fn take_head(&mut self, head: &[u8], fields: usize, bytes: &mut &[u8]) -> Option<Stop> {
        with_storage(fields, |storage| {
            match Request::parse(head, storage, self.desk.server.config()) {
                Err(error) => Some(self.refuse(error, head)),
                Ok(request) if request.framing == Framing::Length(0) => {
                    self.respond(&request, false)
                }
                Ok(request) => {
                    let unfinished = UnfinishedRequest {
                        head: head.to_vec(),
                        fields,
                        body: BodyDecoder::new(request.framing),
                        discarded: 0,
                    };
                    if unfinished
                        .body
                        .announces_more_than(self.desk.server.config().max_discard)
                    {
                        return self.respond(&request, true);
                    }
                    if self.expects_continue(&request) && bytes.is_empty() {
                        self.desk.outgoing.buffer.bytes.extend_from_slice(CONTINUE);
                    }
                    self.take_body(Box::new(unfinished), bytes)
                }
            }
        })
    }

    /// Takes what has come of a body and throws it away, so that the next request stays in step; then answers the request.
    pub(crate) fn take_body(
        &mut self,
        mut request: Box<UnfinishedRequest>,
        bytes: &mut &[u8],
    ) -> Option<Stop> {
        let discarded = &mut request.discarded;
        let done = match request
            .body
            .decode(bytes, |content| *discarded += content.len() as u64)
        {
            Ok(done) => done,
            Err(error) => return Some(self.refuse(error, &request.head)),
        };
        let too_much = request.discarded > self.desk.server.config().max_discard;
        if !done && !too_much {
            return Some(Stop::Then(Then::ReadBody(request)));
        }
        with_storage(request.fields, |storage| {
            match Request::parse(&request.head, storage, self.desk.server.config()) {
                Err(error) => Some(self.refuse(error, &request.head)),
                Ok(request) => self.respond(&request, too_much),
            }
        })
    }

    /// Has the handler answer; `close` where the rest of the request is not going to be read.
    fn respond(&mut self, request: &Request<'_>, close: bool) -> Option<Stop> {
        if self.desk.answer(request, self.client, close) {
            (!self.desk.outgoing.body.is_empty()).then_some(Stop::Send)
        } else if request.keep_alive || close || self.readable != Readable::No {
            Some(Stop::Then(Then::Linger))
        } else {
            Some(Stop::Then(Then::Close))
        }
    }

    /// Whether the peer waits for a word before it sends the body; HTTP/1.0 has none for it (RFC 9110 §15.2).
    fn expects_continue(&self, request: &Request<'_>) -> bool {
        let protocol = self.desk.server.config().protocol_version;
        request.expects_continue && protocol == ProtocolVersion::Http11
    }

    fn refuse(&mut self, error: RequestError, head: &[u8]) -> Stop {
        self.progress = true;
        self.desk.refuse(error, head, self.client);
        Stop::Then(Then::Linger)
    }
}

/// Lends room for `fields` fields to `parse`.
fn with_storage<'h, R>(fields: usize, parse: impl FnOnce(&mut [Field<'h>]) -> R) -> R {
    const EMPTY: Field<'_> = Field {
        name: "",
        value: b"",
    };
    if fields <= FEW_FIELDS {
        parse(&mut [EMPTY; FEW_FIELDS])
    } else {
        parse(&mut [EMPTY; MAX_FIELDS])
    }
}
