//! The search for a connection that can be closed to make room for another one.
//!
//! Invariant: no connection is closed that has sent a request without a reply, because what it has sent is read first, and a request
//! that waits for a file gets a 503; and none is closed while its peer takes the reply.

use std::time::{Duration, Instant};

use super::timers::Timeout;

/// Connections are closed in this order, and of one kind the connection first that has waited longest: those without a request,
/// with half a head, with a body that no handler reads (the reply has left), with a body that trickles, with a reply that the peer does
/// not read, and with a request that waits for a file.
pub(super) const ORDER: [Timeout; 6] = [
    Timeout::KeepAlive,
    Timeout::Head,
    Timeout::Linger,
    Timeout::Body,
    Timeout::Send,
    Timeout::File,
];
/// Connections of each kind that a search looks at, so that a search that fails costs little.
pub(super) const CANDIDATES: usize = 64;
/// Time after a failed search in which no search begins.
const PAUSE: Duration = Duration::from_millis(10);

/// Whether a search is worth its cost now.
#[derive(Debug, Default)]
pub(super) struct RoomSearch {
    /// When the last search failed; `None` after one that found a connection.
    failed: Option<Instant>,
}

impl RoomSearch {
    /// Whether a search failed less than [`PAUSE`] ago.
    pub(super) fn has_failed(&self, now: Instant) -> bool {
        self.failed
            .is_some_and(|then| now.saturating_duration_since(then) < PAUSE)
    }

    /// Notes how a search ended.
    pub(super) fn note(&mut self, has_found: bool, now: Instant) {
        self.failed = (!has_found).then_some(now);
    }
}
