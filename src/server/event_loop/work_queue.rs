//! Connections with replies that take longer to make than a turn may take: each gets a slice of work at a time, within the time
//! that a turn has for work.
//!
//! Invariant: a connection gets its slice after all connections that queued before it, and each turn has time for at least one
//! slice. A new request may begin its work at once, but not with all of that time.

use std::collections::VecDeque;
use std::time::Duration;

use crate::handler::work::Allowance;
use crate::server::loop_context::TURN_OF_WORK;

/// Time in each turn for work that begins as its request is read. Once it is spent, no further work begins before the slices.
const AT_ONCE: Duration = Duration::from_micros(500);
/// Time that is left for slices even if work that began at once took longer.
const LEAST: Duration = Duration::from_micros(250);

/// Connections that need a slice, the one that has waited longest first.
#[derive(Debug, Default)]
pub(super) struct WorkQueue {
    waiting: VecDeque<usize>,
}

impl WorkQueue {
    /// Lets `key` wait for its next slice.
    pub(super) fn push(&mut self, key: usize) {
        self.waiting.push_back(key);
    }

    /// Takes out the connection that has waited longest; it may have been closed since.
    pub(super) fn pop(&mut self) -> Option<usize> {
        self.waiting.pop_front()
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Returns the time for work that begins as requests are read.
    pub(super) fn time_at_once() -> Allowance {
        Allowance::new(AT_ONCE)
    }

    /// Returns the time for slices, after work that began at once has `used` some of the turn's.
    pub(super) fn time_for_slices(used: Duration) -> Allowance {
        Allowance::new(TURN_OF_WORK.saturating_sub(used).max(LEAST))
    }
}
