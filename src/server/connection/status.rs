//! What the loop may know of a connection without giving it a turn.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::Connection;
use crate::server::state::{Kept, Purpose, State};
use crate::server::timers::Timeout;
use crate::wire::delivery::Delivery;
use crate::wire::share::SMALL;
use crate::wire::transport::Transport;

/// What a client has just begun is not taken from it before its next bytes can be here.
const ROUND_TRIP: Duration = Duration::from_millis(100);
/// A reply of which nothing has left for so long stands still, for the round trip of most connections is shorter.
const STALLED: Duration = Duration::from_millis(250);

impl<T> Connection<T> {
    pub(crate) fn transport_mut(&mut self) -> &mut T {
        &mut self.transport
    }

    pub(crate) fn into_transport(self) -> T {
        self.transport
    }

    pub(crate) fn client(&self) -> SocketAddr {
        self.client.address
    }

    /// What the connection is waiting for, and so which deadline it has; none while the next move is the handler's.
    pub(crate) fn awaits(&self) -> Option<Timeout> {
        match &self.state {
            State::Reading(None) => Some(Timeout::KeepAlive),
            State::Reading(Some(_)) | State::Parsing(_) => Some(Timeout::Head),
            State::ReadingBody(_) => Some(Timeout::Body),
            State::Streaming(unsent) if unsent.outgoing.body.is_idle() => None,
            State::WritingHeaders(_) | State::Streaming(_) => Some(Timeout::Send),
            State::Lingering(_) => Some(Timeout::Linger),
            State::Awaiting(_) | State::Closed => None,
        }
    }

    /// Whether the peer has closed its side.
    pub(crate) fn has_left(&self) -> bool {
        self.peer_left
    }

    /// Whether a stream lives from events that may never end.
    pub(crate) fn is_endless(&self) -> bool {
        matches!(&self.state, State::Streaming(unsent) if unsent.outgoing.body.is_endless())
    }

    /// Whether a stream has nothing to send until it is woken.
    pub(crate) fn is_silent(&self) -> bool {
        matches!(&self.state, State::Streaming(unsent) if unsent.outgoing.body.is_idle())
    }

    /// Whether the connection waits for a promised reply.
    pub(crate) fn is_awaiting(&self) -> bool {
        matches!(self.state, State::Awaiting(_))
    }

    /// Whether the connection may be closed so that another one has room, after it has `waited` for what it waits for now: nothing
    /// that it has asked for is on its way to a client that takes it.
    pub(crate) fn is_dispensable(&self, waited: Duration, now: Instant) -> bool
    where
        T: Transport,
    {
        match &self.state {
            State::Reading(_) => waited >= ROUND_TRIP,
            State::Lingering(lingering) => lingering.lasted(now) >= ROUND_TRIP,
            State::ReadingBody(request) => request.trickles(now),
            State::WritingHeaders(_) | State::Streaming(_) => {
                let is_stalled = |delivery: Delivery| delivery.stalled >= STALLED;
                waited >= STALLED && self.transport.delivery().is_none_or(is_stalled)
            }
            State::Parsing(_) | State::Awaiting(_) | State::Closed => false,
        }
    }

    /// What the connection keeps in memory until its next event, spooled bodies aside.
    pub(crate) fn kept(&self) -> Kept {
        let (purpose, bytes) = match &self.state {
            State::Reading(Some(unparsed)) => (Purpose::Requests, unparsed.bytes.capacity()),
            State::ReadingBody(request) => (Purpose::Requests, request.head.capacity()),
            // How much more a handler writes into memory at a time is its own decision.
            State::WritingHeaders(unsent) | State::Streaming(unsent) => (
                Purpose::Replies,
                unsent.outgoing.memory().min(SMALL) + unsent.unparsed.capacity(),
            ),
            // A promised reply is waited for, and bytes whose turn comes are ours to answer.
            _ => (Purpose::Requests, 0),
        };
        let bytes = bytes.try_into().unwrap_or(u32::MAX);
        Kept { purpose, bytes }
    }

    /// Whether the connection is between two requests.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.state, State::Reading(None))
    }

    /// Bytes to go until it has done what it is at, as far as anybody knows.
    pub(crate) fn left(&self) -> u64 {
        match &self.state {
            State::Parsing(unparsed) => unparsed.bytes.len() as u64,
            // The rest is expected to be as long as what has come.
            State::ReadingBody(request) => request.length,
            State::Lingering(lingering) => lingering.discarded,
            State::WritingHeaders(unsent) | State::Streaming(unsent) => unsent.outgoing.left(),
            _ => 0,
        }
    }
}
