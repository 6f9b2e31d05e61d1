//! What one connection has to send: the replies that were made in one turn, and the body that streams after the last of them.
//!
//! Invariant: the loop owns one of these and clears it after each use. A connection keeps one of its own only for what its
//! socket did not take at once.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::time::Instant;

use super::answering::MAX_BATCH;
use crate::handler::ending::Framed;
use crate::handler::log::{Log, LogDetails, LogRecord};
use crate::handler::reply::Reply;
use crate::handler::waits::Waits;
use crate::http::request::Request;
use crate::wire::body::Body;
use crate::wire::buffer::Buffer;
use crate::wire::next::Next;
use crate::wire::share::{SMALL, Share};
use crate::wire::transport::Transport;

/// Replies on their way to one peer.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    /// Heads, and the bodies that leave with them.
    pub(crate) buffer: Buffer,
    /// The body of the last reply, if it streams.
    pub(crate) body: Body,
    /// Bytes of content that have left of that body.
    body_sent: u64,
    /// Replies that have not left wholly.
    pub(crate) unfinished: u32,
    /// When the first of these requests began; `None` for this turn.
    pub(crate) began: Option<Instant>,
    replies: Vec<LoggedReply>,
    /// The details of each of `replies`, if the log has them.
    details: Vec<LogDetails>,
    /// The clients of `replies`, where the connection comes from a trusted proxy.
    clients: Option<Box<Clients>>,
    /// How many of `replies` are in the log already.
    logged: usize,
    /// The text of the records in `replies`.
    arena: Vec<u8>,
    /// The body that the handler is writing, until it is framed.
    written: Vec<u8>,
}

/// What the log keeps of one reply: the record, its details, and the texts of both.
type LoggedParts<'a> = (&'a LogRecord, Option<&'a LogDetails>, &'a [u8]);

/// The clients that a proxy has named, one for each reply.
#[derive(Debug, Default)]
struct Clients(Vec<SocketAddr>);

/// One reply that will be logged when it has left.
#[derive(Debug)]
struct LoggedReply {
    record: LogRecord,
    /// Where in the buffer the reply begins and ends.
    start: usize,
    end: usize,
    /// Bytes between these that are not content.
    overhead: u64,
}

impl Outgoing {
    /// Begins a reply at the end of the buffer.
    pub(crate) fn begin_reply(&mut self) -> Reply<'_> {
        Reply::new(&mut self.buffer.bytes, &mut self.body, &mut self.written)
    }

    /// Forgets what the handler wrote, now that it is framed, and keeps the memory for the next reply within bounds.
    pub(crate) fn end_reply(&mut self) {
        self.written.clear();
        self.written.shrink_to(MAX_BATCH);
    }

    /// Remembers to count and to log a reply that stands in the buffer from `start` on.
    #[inline(always)]
    pub(crate) fn push(
        &mut self,
        framed: &Framed,
        start: usize,
        request: &Request<'_>,
        started: Instant,
        log: &Log,
    ) {
        self.unfinished += 1;
        if log.is_on() {
            let record = LogRecord::new(request, framed.status, started, log, &mut self.arena);
            let end = self.buffer.bytes.len();
            self.replies.push(LoggedReply {
                record,
                start,
                end,
                overhead: framed.overhead,
            });
            if log.has_details() {
                self.details.push(LogDetails::of(request, &mut self.arena));
            }
        }
    }

    /// Remembers the user of the reply that was pushed last, if replies are logged.
    #[cold]
    pub(crate) fn name_user(&mut self, user: &str) {
        if let Some(reply) = self.replies.last_mut() {
            reply.record.set_user(user, &mut self.arena);
        }
    }

    /// Remembers the client of the reply that was pushed last.
    pub(crate) fn push_client(&mut self, client: SocketAddr) {
        self.clients.get_or_insert_default().0.push(client);
    }

    /// Sends until everything has left, the socket takes no more or the share is spent. `ends` says that there is no body, and that
    /// the end of the stream follows at once: both leave in one segment.
    pub(crate) fn send(
        &mut self,
        transport: &mut impl Transport,
        ends: bool,
        share: &mut Share,
    ) -> io::Result<Next> {
        let more = ends || self.body.follows_at_once();
        let sent = if self.buffer.bytes.len() <= SMALL {
            if ends {
                transport.finish_with_write();
            }
            self.buffer.send(transport, more)
        } else {
            self.buffer.send_share(transport, more, share)
        };
        match sent? {
            Next::Continue => self.body.send(transport, share, &mut self.body_sent),
            next => Ok(next),
        }
    }

    /// Whether the socket takes no more, after [`send`](Self::send) has returned `sent`. A stream may wait for its source
    /// instead.
    pub(crate) fn is_blocked(&self, sent: &io::Result<Next>) -> bool {
        matches!(sent, Ok(Next::Wait)) && !self.body.is_idle()
    }

    /// Bytes still to come, as far as the server can tell.
    pub(crate) fn left(&self) -> u64 {
        self.buffer.left() as u64 + self.body.left()
    }

    /// Bytes of memory that it keeps.
    pub(crate) fn memory(&self) -> usize {
        self.buffer.bytes.capacity() + self.arena.capacity() + self.body.memory()
    }

    /// Whether the heads have left, and only a body is left to stream.
    pub(crate) fn is_streaming(&self) -> bool {
        self.buffer.is_sent()
    }

    /// A figure that grows with everything that leaves. If it has not grown, there was no progress.
    pub(crate) fn sent(&self) -> u64 {
        self.buffer.sent() as u64 + self.body_sent
    }

    /// Notes that the replies that have not left as a whole have waited.
    pub(crate) fn add_waits(&mut self, waits: &Waits) {
        for details in self.details.iter_mut().skip(self.logged) {
            details.waits.add(waits);
        }
    }

    /// Gives each reply that has left to `log`, with the client that a proxy has named and the number of content bytes that have
    /// left; all replies that remain where the connection ends (`last`).
    pub(crate) fn log(
        &mut self,
        last: bool,
        mut log: impl FnMut(Option<&SocketAddr>, LoggedParts<'_>, u64),
    ) {
        let sent = self.buffer.sent();
        while let Some(reply) = self.replies.get(self.logged) {
            let is_newest = self.logged + 1 == self.replies.len();
            if !last && (sent < reply.end || is_newest && !self.body.is_empty()) {
                return;
            }
            let in_memory = sent.min(reply.end).saturating_sub(reply.start) as u64;
            let streamed = if is_newest { self.body_sent } else { 0 };
            let clients = self.clients.as_ref();
            log(
                clients.and_then(|clients| clients.0.get(self.logged)),
                (&reply.record, self.details.get(self.logged), &self.arena),
                in_memory.saturating_sub(reply.overhead) + streamed,
            );
            self.logged += 1;
        }
    }

    /// Takes out what has not left in the turn that began `now`, and makes this one ready for the next use.
    pub(crate) fn split_off(&mut self, now: Instant) -> Self {
        let rest = Self {
            buffer: self.buffer.split_off(),
            body: mem::take(&mut self.body),
            body_sent: self.body_sent,
            unfinished: self.unfinished,
            began: self.began.or(Some(now)),
            replies: mem::take(&mut self.replies),
            clients: self.clients.take(),
            details: mem::take(&mut self.details),
            logged: self.logged,
            arena: mem::take(&mut self.arena),
            written: Vec::new(),
        };
        self.clear();
        rest
    }

    /// Forgets everything, and keeps the memory within bounds for the next use.
    pub(crate) fn clear(&mut self) {
        self.buffer.clear();
        self.buffer.bytes.shrink_to(MAX_BATCH);
        self.body = Body::Empty;
        self.body_sent = 0;
        self.unfinished = 0;
        self.began = None;
        self.replies.clear();
        if let Some(clients) = &mut self.clients {
            clients.0.clear();
        }
        self.details.clear();
        self.logged = 0;
        self.arena.clear();
    }
}
