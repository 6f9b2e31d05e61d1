//! What a reply waits for at the moment, for the log: noted when its connection has to wait, and added up when it goes on.
//!
//! Invariant: the times are those of turns of the loop, so no clock is read for them. A wait that ends in the turn in which it began
//! counts as none.

use std::time::{Duration, Instant};

use crate::handler::waits::Waits;
use crate::wire::next::Next;
use crate::wire::transport::Transport;

/// A wait that has begun.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    reason: Reason,
    since: Instant,
}

#[derive(Clone, Copy, Debug)]
enum Reason {
    /// The socket is full. By then the peer's window had kept bytes here for this time; `None` if the kernel does not tell.
    Socket(Option<Duration>),
    Disk,
    Turn,
}

impl Waiting {
    /// Begins the wait of a connection that has `next` to do; `None` where it waits for its handler. `is_blocked` says whether the
    /// socket is full.
    pub(super) fn begin(
        next: Next,
        is_blocked: bool,
        transport: &impl Transport,
        now: Instant,
    ) -> Option<Self> {
        let reason = match next {
            Next::Wait if is_blocked => Reason::Socket(transport.window_limited()),
            Next::WaitForDisk => Reason::Disk,
            Next::Yield | Next::Work => Reason::Turn,
            Next::Wait | Next::Continue | Next::Close => return None,
        };
        Some(Self { reason, since: now })
    }

    /// Ends the wait, and returns how long it was. If the kernel does not tell why a socket was full, that was the client.
    pub(super) fn end(self, transport: &impl Transport, now: Instant) -> Waits {
        let time = now.saturating_duration_since(self.since);
        let mut waits = Waits::default();
        match self.reason {
            _ if time.is_zero() => {}
            Reason::Disk => waits.disk = time,
            Reason::Turn => waits.turn = time,
            Reason::Socket(before) => {
                let by_window = before
                    .zip(transport.window_limited())
                    .map_or(time, |(before, after)| after.saturating_sub(before));
                waits.client = by_window.min(time);
                waits.net = time - waits.client;
            }
        }
        waits
    }
}
