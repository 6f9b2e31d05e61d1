//! The states of a connection, named by what is awaited; the transitions are in [`super::connection`].
//!
//! Invariant: what a state needs lives in its variant and nowhere else, boxed, so that an idle connection costs its slot.

use super::lingering::Lingering;
use super::outgoing::Outgoing;
use super::promised::PromisedReply;
use super::then::Then;
use super::unfinished::UnfinishedRequest;
use super::unparsed::Unparsed;
use crate::config::ServerConfig;
use crate::server::timers::is_progress;
use crate::wire::delivery::Delivery;

/// Bytes a second that a peer must take, on the average of each `send_timeout`.
const MIN_SEND_RATE: u64 = 1024;

#[derive(Debug, Default)]
pub(crate) enum State {
    /// No complete head yet; waits for the socket.
    Reading(Option<Box<Unparsed>>),
    /// Bytes on hand, whose turn comes.
    Parsing(Box<Unparsed>),
    /// A head whose body is still arriving.
    ReadingBody(Box<UnfinishedRequest>),
    /// Heads, and small bodies with them, that the socket has not taken.
    WritingHeaders(Box<Unsent>),
    /// The heads have left; a body drains.
    Streaming(Box<Unsent>),
    /// The reply comes later: another thread will give it, or the loop works on it.
    Awaiting(Box<Awaiting>),
    /// The reply has left; what still comes is discarded: the rest of a body that no handler wants, until the next request
    /// begins, or, with our side shut, everything until the peer has seen the reply (RFC 9112 §9.6).
    Lingering(Box<Lingering>),
    #[default]
    Closed,
}

#[derive(Debug)]
pub(crate) struct Unsent {
    pub(crate) outgoing: Outgoing,
    pub(crate) then: Then,
    pub(crate) unparsed: Unparsed,
    /// Bytes that had reached the peer when the socket was last found to take no more for a whole `send_timeout`.
    pub(crate) acked: Option<u64>,
}

impl Unsent {
    /// Whether the peer reads on, though the socket has taken nothing for a `send_timeout`: the kernel holds megabytes for it,
    /// and makes room only when a third of them have left. Asked again, it must have read at no mere drip.
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

#[derive(Debug)]
pub(crate) struct Awaiting {
    pub(crate) promised: PromisedReply,
    pub(crate) unparsed: Unparsed,
}

impl State {
    /// The state of a connection whose socket did not take all of it.
    pub(crate) fn unsent(unsent: Box<Unsent>) -> Self {
        if unsent.outgoing.is_streaming() {
            Self::Streaming(unsent)
        } else {
            Self::WritingHeaders(unsent)
        }
    }
}

/// What memory is kept for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Purpose {
    #[default]
    Requests,
    Replies,
}

/// What one connection keeps.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Kept {
    pub(crate) purpose: Purpose,
    pub(crate) bytes: u32,
}
