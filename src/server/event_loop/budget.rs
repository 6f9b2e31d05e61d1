//! How many bytes and requests a turn of the loop has, and which connections may use them.
//!
//! Invariant: the connections with events may use three quarters of the bytes, and begin only bodies that fit into what is left
//! of these as a whole. The last quarter is for work and the queue in every turn.

use crate::config::ServerConfig;
use crate::wire::share::{Cold, Share};

/// Requests that are answered as their events come before each connection gets only one and queues for more.
const REQUESTS: usize = 1024;

/// What is left of one turn.
#[derive(Debug)]
pub(super) struct Budget {
    /// Bytes of the whole turn.
    bytes: usize,
    /// Requests that one connection may have answered in one go.
    requests_each: usize,
    /// What the connections with events share.
    events: Share,
    /// Requests that are answered before each connection gets only one.
    requests: usize,
    /// Bytes that work has sent.
    worked: usize,
}

impl Budget {
    /// Returns the whole budget of turn number `turn`.
    pub(super) fn new(config: &ServerConfig, turn: u64) -> Self {
        Self {
            bytes: config.tuning.turn_bytes,
            requests_each: config.tuning.turn_requests.max(1),
            events: Share {
                bytes: Self::for_events(config.tuning.turn_bytes),
                requests: 0,
                whole: true,
                progress: false,
                cold: Cold::Read,
                turn,
            },
            requests: REQUESTS,
            worked: 0,
        }
    }

    /// Returns the bytes for connections with events. They get most of the turn, because a reply that has to wait for the queue
    /// is stored and taken up again.
    fn for_events(bytes: usize) -> usize {
        bytes / 4 * 3
    }

    /// Returns the bytes that are left for connections with events.
    pub(super) fn left_for_events(&self) -> u64 {
        self.events.bytes as u64
    }

    /// Returns the share of a connection that has an event.
    pub(super) fn event_share(&mut self, cold: Cold) -> &mut Share {
        self.events.requests = self.requests_each.min(self.requests).max(1);
        self.events.cold = cold;
        &mut self.events
    }

    /// Takes off the requests that a connection with an event has answered, of those that it was `allowed`.
    pub(super) fn charge_requests(&mut self, allowed: usize) {
        let answered = allowed - self.events.requests;
        self.requests = self.requests.saturating_sub(answered);
    }

    /// Returns the share of a connection after its deadline: it may still answer one request.
    pub(super) fn expiry_share(&mut self) -> &mut Share {
        self.events.requests = 1;
        &mut self.events
    }

    /// Returns the share of a connection that works or queues, with at most `bytes` to send.
    pub(super) fn queue_share(&self, bytes: usize, cold: Cold) -> Share {
        Share {
            bytes,
            requests: self.requests_each,
            whole: false,
            progress: false,
            cold,
            turn: self.events.turn,
        }
    }

    /// Returns the requests that a connection has answered with its [`queue_share`](Self::queue_share).
    pub(super) fn answered(&self, share: &Share) -> usize {
        self.requests_each - share.requests
    }

    /// Returns the bytes that work and the queue may use.
    pub(super) fn rest(&self) -> usize {
        let used = Self::for_events(self.bytes) - self.events.bytes + self.worked;
        self.bytes.max(1).saturating_sub(used)
    }

    /// Takes off the bytes that work has sent.
    pub(super) fn charge_work(&mut self, bytes: usize) {
        self.worked += bytes;
    }
}
