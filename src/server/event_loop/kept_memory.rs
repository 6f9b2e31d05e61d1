//! Memory that the connections of one loop keep until their next events: requests that have begun to arrive, and replies that the
//! sockets have not taken.
//!
//! Invariant: the sums are those of all connections. What is done where they are too much, [`Connections`](super::connections)
//! decides.

use crate::config::ServerConfig;
use crate::server::connection::state::{Kept, Purpose};

/// How many bytes all connections of a loop keep, and may keep, by purpose.
#[derive(Debug)]
pub(super) struct KeptMemory {
    bytes: [usize; 2],
    most: [usize; 2],
}

impl KeptMemory {
    /// Returns the limits of one of `loops` loops: an equal share of the server's, and always room for a whole head.
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

    /// Counts what one connection keeps `now` in place of what it kept `before`.
    pub(super) fn replace(&mut self, before: Kept, now: Kept) {
        self.bytes[before.purpose as usize] -= before.bytes as usize;
        self.bytes[now.purpose as usize] += now.bytes as usize;
    }

    /// Whether the sum is beyond its limit.
    pub(super) fn is_too_much(&self, purpose: Purpose) -> bool {
        self.bytes[purpose as usize] > self.most[purpose as usize]
    }

    /// Whether the sum is beyond twice its limit.
    pub(super) fn is_far_too_much(&self, purpose: Purpose) -> bool {
        self.bytes[purpose as usize] / 2 > self.most[purpose as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_memory_is_counted_by_its_purpose() {
        let config = ServerConfig {
            max_head: 10,
            max_request_memory: 100,
            max_reply_memory: 1000,
            ..ServerConfig::default()
        };
        let kept = |purpose, bytes| Kept { purpose, bytes };
        let mut memory = KeptMemory::new(&config, 2);
        memory.replace(Kept::default(), kept(Purpose::Requests, 50));
        assert!(!memory.is_too_much(Purpose::Requests));
        memory.replace(Kept::default(), kept(Purpose::Requests, 1));
        assert!(memory.is_too_much(Purpose::Requests) && !memory.is_too_much(Purpose::Replies));
        // The request of a connection is answered, and the socket does not take the reply.
        memory.replace(kept(Purpose::Requests, 50), kept(Purpose::Replies, 501));
        assert!(!memory.is_too_much(Purpose::Requests) && memory.is_too_much(Purpose::Replies));
        assert!(!memory.is_far_too_much(Purpose::Replies));
        memory.replace(Kept::default(), kept(Purpose::Replies, 501));
        assert!(memory.is_far_too_much(Purpose::Replies));
        // However many loops there are, each has room for a head.
        assert_eq!(KeptMemory::new(&config, 1000).most, [20, 20]);
    }
}
