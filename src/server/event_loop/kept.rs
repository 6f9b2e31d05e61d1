//! Memory that connections keep until their next event: begun requests, and replies that the sockets have not taken.
//!
//! Invariant: each loop knows the sum, and what connections keep of requests stays within its limit: the oldest go. Replies go
//! where their clients do not read them; at twice their limit, those that have waited longest.

use super::room::CANDIDATES;
use super::{EventLoop, Slot};
use crate::config::ServerConfig;
use crate::handler::BaseHttpRequestHandler;
use crate::server::connection::state::{Kept, Purpose};
use crate::server::timers::Timeout;

/// What all connections of a loop keep, and may keep.
#[derive(Debug)]
pub(super) struct KeptInAll {
    bytes: [usize; 2],
    most: [usize; 2],
}

impl KeptInAll {
    /// The limits of one of `loops` loops, each of which has its share; there is always room for a whole head.
    pub(super) fn new(config: &ServerConfig, loops: usize) -> Self {
        let share = |all: usize| all.div_ceil(loops.max(1)).max(2 * config.max_head);
        Self {
            bytes: [0; 2],
            most: [
                share(config.max_request_memory),
                share(config.max_reply_memory),
            ],
        }
    }

    fn replace(&mut self, before: Kept, now: Kept) {
        self.bytes[before.purpose as usize] -= before.bytes as usize;
        self.bytes[now.purpose as usize] += now.bytes as usize;
    }

    fn is_too_much(&self, purpose: Purpose) -> bool {
        self.bytes[purpose as usize] > self.most[purpose as usize]
    }

    fn is_far_too_much(&self, purpose: Purpose) -> bool {
        self.bytes[purpose as usize] / 2 > self.most[purpose as usize]
    }
}

impl Slot {
    /// What the connection was found to keep in memory after its last turn.
    fn kept(&self) -> Kept {
        Kept {
            purpose: self.kept_for,
            bytes: self.kept,
        }
    }

    /// Stored apart, for an idle connection costs its slot.
    fn set_kept(&mut self, kept: Kept) {
        self.kept = kept.bytes;
        self.kept_for = kept.purpose;
    }
}

impl<H: BaseHttpRequestHandler> EventLoop<H> {
    /// Notes what a connection keeps after its turn. Where that is too much, others end.
    pub(super) fn note_kept(&mut self, key: usize) {
        let Some(slot) = self.connections.get_mut(key) else {
            return;
        };
        let kept = slot.connection.kept();
        self.kept.replace(slot.kept(), kept);
        slot.set_kept(kept);
        while self.kept.is_too_much(kept.purpose)
            && let Some(key) = self.find_keeper(kept.purpose)
        {
            self.evict(key);
        }
    }

    /// The connection has ended and keeps nothing.
    pub(super) fn forget_kept(&mut self, key: usize) {
        if let Some(slot) = self.connections.get_mut(key) {
            self.kept.replace(slot.kept(), Kept::default());
            slot.set_kept(Kept::default());
        }
    }

    /// Finds the connection that gives memory back.
    fn find_keeper(&mut self, purpose: Purpose) -> Option<usize> {
        let keeps = |slot: &Slot| slot.kept_for == purpose && slot.kept > 0;
        let keepers = |kind| {
            let keys = self.timers.in_order(kind);
            keys.filter(|key| self.connections.get(*key).is_some_and(keeps))
        };
        let waits = |key: &usize| self.connections.get(*key).is_some_and(|slot| !slot.queued);
        match purpose {
            Purpose::Requests => keepers(Timeout::Head)
                .chain(keepers(Timeout::Body))
                .find(waits),
            Purpose::Replies if self.kept.is_far_too_much(purpose) => {
                keepers(Timeout::Send).find(waits)
            }
            Purpose::Replies if self.is_searched() => None,
            Purpose::Replies => {
                let is_unread = |key: &usize| self.is_dispensable(*key, Timeout::Send);
                let found = keepers(Timeout::Send).take(CANDIDATES).find(is_unread);
                self.note_search(found.is_some());
                found
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn an_idle_connection_costs_no_more_than_its_slot() {
        assert_eq!(size_of::<Slot>(), 88);
    }

    #[test]
    fn what_connections_keep_is_counted_by_its_purpose() {
        let config = ServerConfig {
            max_head: 10,
            max_request_memory: 100,
            max_reply_memory: 1000,
            ..ServerConfig::default()
        };
        let kept = |purpose, bytes| Kept { purpose, bytes };
        let mut all = KeptInAll::new(&config, 2);
        all.replace(Kept::default(), kept(Purpose::Requests, 50));
        assert!(!all.is_too_much(Purpose::Requests));
        all.replace(Kept::default(), kept(Purpose::Requests, 1));
        assert!(all.is_too_much(Purpose::Requests) && !all.is_too_much(Purpose::Replies));
        // Its request is answered, and the socket does not take the reply.
        all.replace(kept(Purpose::Requests, 50), kept(Purpose::Replies, 501));
        assert!(!all.is_too_much(Purpose::Requests) && all.is_too_much(Purpose::Replies));
        assert!(!all.is_far_too_much(Purpose::Replies));
        all.replace(Kept::default(), kept(Purpose::Replies, 501));
        assert!(all.is_far_too_much(Purpose::Replies));
        // However many loops there are, each has room for a head.
        assert_eq!(KeptInAll::new(&config, 1000).most, [20, 20]);
    }
}
