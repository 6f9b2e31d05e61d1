//! The connections that have more to do without an event: those that queue to send, those that work, and those that wait for
//! the disk.
//!
//! Order of a turn: small replies are sent as their events come, then each connection that works gets a slice, then the queue
//! is served, all within the turn's [`Budget`].

use std::time::Instant;

use super::budget::Budget;
use super::disk::Disk;
use super::queue::Queue;
use super::work_queue::WorkQueue;
use crate::config::ServerConfig;
use crate::wire::share::Share;

/// Which connections have a turn without an event, and how much of it.
#[derive(Debug)]
pub(super) struct Schedule {
    pub(super) queue: Queue,
    pub(super) work: WorkQueue,
    pub(super) disk: Disk,
    pub(super) budget: Budget,
}

impl Schedule {
    pub(super) fn new(config: &ServerConfig) -> Self {
        Self {
            queue: Queue::default(),
            work: WorkQueue::default(),
            disk: Disk::new(config.tuning.read_ahead),
            budget: Budget::new(config, 0),
        }
    }

    /// Makes the whole budget of turn number `turn` available.
    pub(super) fn begin_turn(&mut self, config: &ServerConfig, turn: u64) {
        self.budget = Budget::new(config, turn);
    }

    /// Returns the share of a connection that has an event.
    #[inline]
    pub(super) fn event_share(&mut self) -> &mut Share {
        self.budget.event_share(self.disk.allows())
    }

    /// Returns the share of a connection that works or queues, with at most `bytes` to send.
    pub(super) fn queue_share(&self, bytes: usize) -> Share {
        self.budget.queue_share(bytes, self.disk.allows())
    }

    /// Returns when the schedule has something to do: at once while connections queue or work.
    pub(super) fn next_deadline(&self, now: Instant) -> Option<Instant> {
        if self.queue.is_empty() && self.work.is_empty() {
            self.disk.next_deadline()
        } else {
            Some(now)
        }
    }
}
