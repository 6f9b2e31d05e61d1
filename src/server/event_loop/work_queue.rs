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
use crate::server::loop_context::TURN_OF_WORK;
use crate::wire::share::Share;

/// What work may take that is done as requests come. Once it is spent, no other is begun: that is less than a slice takes.
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
        self.context.allowance = Allowance::new(AT_ONCE);
    }

    /// Gives each connection that waits for work a slice, as long as there is time. After that there is none in this turn.
    pub(super) fn go_on_with_work(&mut self) {
        let left = TURN_OF_WORK.saturating_sub(self.context.allowance.used());
        self.context.allowance = Allowance::new(left.max(LEAST));
        // Downloads have the other half of what the events have left.
        let mut bytes = (self.budget.rest(self.context.server.config()) / 2).max(1);
        for _ in 0..self.work.waiting.len() {
            // The others are the first in the next turn.
            if self.context.allowance.is_spent() || bytes == 0 {
                break;
            }
            let Some(key) = self.work.waiting.pop_front() else {
                break;
            };
            let sent = self.do_slice(key, bytes);
            self.budget.charge_work(sent);
            bytes -= sent;
        }
        self.context.allowance = Allowance::new(Duration::ZERO);
    }

    /// Gives a connection its slice, and at most so many `bytes` to send; returns how many it has sent.
    fn do_slice(&mut self, key: usize, bytes: usize) -> usize {
        let Some(slot) = self.connections.get_mut(key).filter(|slot| slot.queued) else {
            // It was closed meanwhile; the slot may have another owner.
            return 0;
        };
        slot.queued = false;
        let mut share = Share {
            bytes,
            requests: self.turn_requests,
            whole: false,
            cold: self.disk.allows(),
            turn: self.context.server.counters.turns,
        };
        let (connection, scratch) = (&mut slot.connection, &mut self.scratch);
        let outcome = connection.advance(Readable::No, &mut share, scratch, &mut self.context);
        self.settle(key, outcome);
        bytes - share.bytes
    }
}
