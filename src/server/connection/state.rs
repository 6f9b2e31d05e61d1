//! The states of a connection, named by what is awaited.
//!
//! Invariant: what a state needs lives in its variant and nowhere else. It is boxed, so an idle connection costs only its slot.
//!
//! | state | what ends it | next state |
//! |---|---|---|
//! | `ReadingProxyHeader` | a part of the header arrives | `ReadingProxyHeader` |
//! | | the header is complete | `Handshaking`, if the listener speaks HTTPS, or as below |
//! | | it is malformed, the peer closes its side, or the deadline passes | `Closed` |
//! | `Handshaking` | the handshake of TLS is complete, or the peer speaks no TLS | `Reading` |
//! | | the peer does not keep to the protocol or closes its side, or the deadline passes | `Closed` |
//! | `Reading` | a part of a head arrives | `Reading` |
//! | | a head is complete, or cannot become one | as below |
//! | | the peer closes its side; or the deadline passes, and no head has begun | `Closed` |
//! | | the deadline passes, and a head has begun: 408 | `Lingering`, until the close |
//! | `Parsing` | the next turn comes | as below |
//! | `ReadingBody` | the body is complete, malformed or too large | as below |
//! | | the peer closes its side | `Closed` |
//! | | the deadline passes, and too little has come: 408 | `Lingering`, until the close |
//! | `WritingHeaders` | the heads have left, a body has not | `Streaming` |
//! | `WritingHeaders`, `Streaming` | everything has left | as below |
//! | | the deadline passes, and the peer has not read on | `Closed`, by a reset |
//! | | the deadline for the next piece of a file passes | `Closed` |
//! | `Awaiting` | the reply can be made | as below |
//! | | the deadline for a file passes: 503 | as below |
//! | | the peer closes both sides | `Closed` |
//! | `Lingering`, in a body | the body ends, and the next request begins | as below |
//! | | the body is malformed or too large | `Lingering`, until the close |
//! | `Lingering` | the peer closes its side, or the deadline passes | `Closed` |
//! | any | the socket fails, another connection needs the room, or the server's time to drain is over | `Closed` |
//!
//! As below: requests are answered one after the other, as many as are on hand, and then the replies leave.
//!
//! | after that | next state |
//! |---|---|
//! | the socket does not take all of them, or the share of bytes is spent | `WritingHeaders`, `Streaming` |
//! | the share of requests is spent | `Parsing` |
//! | nothing is left on hand, or a part of a head | `Reading` |
//! | a body that the handler wants is not complete | `ReadingBody` |
//! | a body that the handler does not want is not complete | `Lingering`, in a body |
//! | a reply comes later | `Awaiting` |
//! | the last reply has left, the peer asked for the close, and it has sent nothing more | `Closed` |
//! | the last reply has left, and the peer may still be sending | `Lingering`, until the close |
//! | the handler aborts the exchange | `Closed`, by a reset |

use std::time::Instant;

use super::arriving::UnfinishedRequest;
use super::lingering::Lingering;
use super::outgoing::Outgoing;
use super::promised::PromisedReply;
use super::then::Then;
use super::unparsed::Unparsed;
use super::waiting::Waiting;
use crate::config::ServerConfig;
use crate::server::event_loop::timers::is_progress;
use crate::wire::delivery::Delivery;
use crate::wire::transport::Transport;

/// Bytes a second that a peer must read, on the average of each `send_timeout`.
const MIN_SEND_RATE: u64 = 1024;

#[derive(Debug, Default)]
pub(crate) enum State {
    /// The header of the PROXY protocol is not complete yet; waits for the socket.
    ReadingProxyHeader(Box<Unparsed>),
    /// The handshake of TLS is not complete yet; waits for the socket, or for the loop's time.
    Handshaking,
    /// No complete head yet; waits for the socket.
    Reading(Option<Box<Unparsed>>),
    /// Bytes are on hand; waits for the next turn.
    Parsing(Box<Unparsed>),
    /// The body of a request is still arriving.
    ReadingBody(Box<UnfinishedRequest>),
    /// The socket has not taken all heads, and the small bodies that leave with them.
    WritingHeaders(Box<Unsent>),
    /// The heads have left; a body drains.
    Streaming(Box<Unsent>),
    /// The reply comes later: another thread gives it, a file thread looks its file up, or the loop does work for it.
    Awaiting(Box<Awaiting>),
    /// The reply has left, and what still comes is discarded: the rest of a body that the handler does not want, until the next
    /// request begins; or, once our side is shut, everything until the peer has seen the reply (RFC 9112 §9.6).
    Lingering(Box<Lingering>),
    #[default]
    Closed,
}

/// What the socket has not taken yet.
#[derive(Debug)]
pub(crate) struct Unsent {
    pub(crate) outgoing: Outgoing,
    pub(crate) then: Then,
    pub(crate) unparsed: Unparsed,
    /// Bytes that had reached the peer when the socket was last found to take no more for a whole `send_timeout`.
    pub(crate) acked: Option<u64>,
    /// What the replies wait for, if the log says it.
    pub(crate) waiting: Option<Waiting>,
}

impl Unsent {
    /// Adds what the replies have waited for until `now`.
    #[inline(never)]
    pub(crate) fn end_wait(&mut self, transport: &impl Transport, now: Instant) {
        if let Some(waiting) = self.waiting.take() {
            self.outgoing.add_waits(&waiting.end(transport, now));
        }
    }

    /// Whether the peer reads on, though the socket has taken nothing for a `send_timeout`: the kernel holds megabytes for it,
    /// and makes room only when a third of them have left. When asked again, the peer must have read at [`MIN_SEND_RATE`].
    pub(crate) fn is_delivered(&mut self, delivery: Delivery, config: &ServerConfig) -> bool {
        let timeout = config.send_timeout;
        match self.acked.replace(delivery.acked) {
            // Bytes were still on their way when the deadline was set.
            None => delivery.stalled < timeout - timeout / 16,
            Some(before) => is_progress(
                delivery.acked.saturating_sub(before),
                MIN_SEND_RATE,
                timeout,
            ),
        }
    }
}

/// A reply that comes later, and what was sent after its request.
#[derive(Debug)]
pub(crate) struct Awaiting {
    pub(crate) promised: PromisedReply,
    pub(crate) unparsed: Unparsed,
}

impl State {
    /// The state in which `unsent` waits for the socket or for the next turn.
    pub(crate) fn unsent(unsent: Box<Unsent>) -> Self {
        if unsent.outgoing.is_streaming() {
            Self::Streaming(unsent)
        } else {
            Self::WritingHeaders(unsent)
        }
    }
}

/// What a connection keeps memory for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Purpose {
    #[default]
    Requests,
    Replies,
}

/// How much memory one connection keeps.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Kept {
    pub(crate) purpose: Purpose,
    pub(crate) bytes: u32,
}
