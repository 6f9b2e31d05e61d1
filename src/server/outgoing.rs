//! What one connection has to send: the replies made in one go, the body that streams after the last of them, and what
//! comes when all has left.
//!
//! Invariant: the loop owns one as scratch and clears it after use; only what the socket did not take at once is kept, by the
//! connection it belongs to.

use std::io;
use std::mem;
use std::time::Instant;

use crate::handler::log::{Log, LogRecord};
use crate::handler::reply::Framed;
use crate::http::request::Request;
use crate::wire::body::Body;
use crate::wire::buffer::{Buffer, Sent};
use crate::wire::share::{SMALL, Share};
use crate::wire::transport::Transport;

#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    pub(crate) buffer: Buffer,
    pub(crate) body: Body,
    body_sent: u64,
    replies: Vec<LoggedReply>,
    logged: usize,
    arena: Vec<u8>,
}

/// One reply that will be logged when it has left.
#[derive(Debug)]
struct LoggedReply {
    record: LogRecord,
    start: usize,
    end: usize,
    /// Bytes between start and end that are no content.
    overhead: u64,
}

impl Outgoing {
    /// Takes in a reply that was appended to the buffer from `start` on.
    #[inline]
    pub(crate) fn push(
        &mut self,
        framed: Framed,
        start: usize,
        request: &Request<'_>,
        started: Instant,
        log: &Log,
    ) {
        if log.is_on() {
            let record = LogRecord::new(request, framed.status, started, log, &mut self.arena);
            let end = self.buffer.bytes.len();
            self.replies.push(LoggedReply {
                record,
                start,
                end,
                overhead: framed.overhead,
            });
        }
    }

    /// Sends on, until all has left, the socket takes no more or the share is spent.
    pub(crate) fn send(
        &mut self,
        transport: &mut impl Transport,
        share: &mut Share,
    ) -> io::Result<Sent> {
        let more = self.body.follows_at_once();
        let sent = if self.buffer.bytes.len() <= SMALL {
            self.buffer.send(transport, more)
        } else {
            self.buffer.send_share(transport, more, share)
        };
        match sent? {
            Sent::All => self.body.send(transport, share, &mut self.body_sent),
            sent => Ok(sent),
        }
    }

    /// Bytes still to come, as far as anybody knows.
    pub(crate) fn left(&self) -> u64 {
        self.buffer.left() as u64 + self.body.left()
    }

    /// Bytes of memory that it keeps.
    pub(crate) fn memory(&self) -> usize {
        self.buffer.bytes.capacity() + self.arena.capacity() + self.body.memory()
    }

    /// Whether the heads have left, and only a body streams on.
    pub(crate) fn is_streaming(&self) -> bool {
        self.buffer.is_sent()
    }

    /// A figure that grows with everything that leaves: no growth is no progress.
    pub(crate) fn sent(&self) -> u64 {
        self.buffer.sent() as u64 + self.body_sent
    }

    /// Gives the replies that have left to `log`, with the content bytes that did; all that remain where the connection
    /// ends (`last`).
    pub(crate) fn log(&mut self, last: bool, mut log: impl FnMut(&LogRecord, &[u8], u64)) {
        let sent = self.buffer.sent();
        while let Some(reply) = self.replies.get(self.logged) {
            let is_newest = self.logged + 1 == self.replies.len();
            if !last && (sent < reply.end || is_newest && !self.body.is_empty()) {
                return;
            }
            let in_memory = sent.min(reply.end).saturating_sub(reply.start) as u64;
            let streamed = if is_newest { self.body_sent } else { 0 };
            log(
                &reply.record,
                &self.arena,
                in_memory.saturating_sub(reply.overhead) + streamed,
            );
            self.logged += 1;
        }
    }

    /// Takes out what has not left; what stays is ready for the next use.
    pub(crate) fn split_off(&mut self) -> Self {
        let rest = Self {
            buffer: self.buffer.split_off(),
            body: mem::take(&mut self.body),
            body_sent: self.body_sent,
            replies: mem::take(&mut self.replies),
            logged: self.logged,
            arena: mem::take(&mut self.arena),
        };
        self.clear();
        rest
    }

    /// Makes it ready for the next use, keeping its memory within bounds.
    pub(crate) fn clear(&mut self) {
        self.buffer.clear();
        self.buffer.bytes.shrink_to(super::answering::MAX_BATCH);
        self.body = Body::Empty;
        self.body_sent = 0;
        self.replies.clear();
        self.logged = 0;
        self.arena.clear();
    }
}
