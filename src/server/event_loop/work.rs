//! Work that takes longer than a turn may: those who need it take turns, a slice each, within the time that a turn has for it.
//!
//! Invariant: whoever waits for work gets its slice after all who waited before it, and in each turn there is time for one slice
//! at least. Requests that come may begin work at once, but not with all of that time.

use std::collections::VecDeque;
use std::time::Duration;

use super::EventLoop;
use crate::handler::BaseHttpRequestHandler;
use crate::handler::work::Allowance;
use crate::server::answering::Readable;
use crate::server::desk::TURN_OF_WORK;
use crate::wire::share::Share;

/// What work may take that is done as requests come. It is less than a slice mostly takes, so that at most one is begun.
const AT_ONCE: Duration = Duration::from_micros(500);
/// What is left for the others even where those took longer.
const LEAST: Duration = Duration::from_micros(250);

/// Connections that need work, the one that has waited for longest first.
#[derive(Debug, Default)]
pub(super) struct WorkQueue {
    waiting: VecDeque<usize>,
}

impl WorkQueue {
    /// Lets `key` wait for its next slice.
    pub(super) fn push(&mut self, key: usize) {
        self.waiting.push_back(key);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

impl<H: BaseHttpRequestHandler> EventLoop<H> {
    /// Begins a turn.
    pub(super) fn begin_work(&mut self) {
        self.desk.allowance = Allowance::new(AT_ONCE);
    }

    /// Gives each connection that waits for work a slice, as long as there is time. After that there is none in this turn.
    pub(super) fn go_on_with_work(&mut self) {
        let used = AT_ONCE.saturating_sub(self.desk.allowance.left());
        self.desk.allowance = Allowance::new(TURN_OF_WORK.saturating_sub(used).max(LEAST));
        // Downloads have the other half of what the events have left.
        let mut left = self.budget.rest(self.desk.server.config()) / 2;
        for _ in 0..self.work.waiting.len() {
            if self.desk.allowance.is_spent() {
                break;
            }
            let Some(key) = self.work.waiting.pop_front() else {
                break;
            };
            let Some(slot) = self.connections.get_mut(key).filter(|slot| slot.queued) else {
                // It was closed meanwhile; the slot may have another owner.
                continue;
            };
            slot.queued = false;
            let mut share = Share {
                bytes: left,
                requests: self.turn_requests,
                whole: false,
                cold: self.disk.allows(),
                turn: self.desk.server.counters.turns,
            };
            let outcome = slot.connection.advance(
                Readable::No,
                &mut share,
                &mut self.scratch,
                &mut self.desk,
            );
            self.budget.charge_work(left - share.bytes);
            left = share.bytes;
            self.settle(key, outcome);
        }
        self.desk.allowance = Allowance::new(Duration::ZERO);
    }
}
