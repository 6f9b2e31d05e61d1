//! Connections with more to send than the events of a turn allow. The connection with the least left to send goes first, so that
//! small replies do not wait behind large ones.
//!
//! Invariant: no connection starves. The rank of a waiting connection stays, while the ranks of new ones grow with every byte
//! that is sent: after at most [`FAR`] / [`AGEING`] bytes, every new connection ranks behind it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// All bodies of at least this length rank alike.
const FAR: u64 = 256 * 1024 * 1024;
/// How much the ranks of new connections grow with each byte that is sent.
const AGEING: u64 = 16;

/// Connections in the order of what they have left to send.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Rank and key, the lowest first.
    waiting: BinaryHeap<Reverse<(u64, usize)>>,
    /// Connections that were pushed since the queue's turn began: they have had their turn.
    late: Vec<Reverse<(u64, usize)>>,
    /// The cost of all that was sent from the queue.
    sent: u64,
}

impl Queue {
    /// Lets `key` wait, which has `left` bytes to send, for the next turn of the queue.
    pub(super) fn push(&mut self, key: usize, left: u64) {
        let rank = left.min(FAR) + self.sent * AGEING;
        self.late.push(Reverse((rank, key)));
    }

    /// Begins a turn of the queue: all connections that were pushed before it take part.
    // Inlined into the loop of the site; that of the administration is the other caller, and rare.
    #[inline(always)]
    pub(super) fn begin(&mut self) {
        self.waiting.extend(self.late.drain(..));
    }

    /// Takes out the next connection; it may have been closed since.
    // Inlined into the loop of the site; that of the administration is the other caller, and rare.
    #[inline(always)]
    pub(super) fn pop(&mut self) -> Option<usize> {
        self.waiting.pop().map(|Reverse((_, key))| key)
    }

    /// Notes that the turn of a connection has cost so many bytes.
    pub(super) fn charge(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.late.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn the_connection_with_least_left_goes_first() {
        let mut queue = Queue::default();
        for (key, left) in [(1, 900 * MIB), (2, MIB), (3, 100 * MIB)] {
            queue.push(key, left);
        }
        queue.begin();
        assert_eq!(queue.pop(), Some(2));
        // A connection that is pushed now waits for the next turn, and no longer.
        queue.push(4, 1);
        assert_eq!(queue.pop(), Some(3));
        queue.begin();
        assert_eq!(
            [queue.pop(), queue.pop(), queue.pop()],
            [Some(4), Some(1), None]
        );
        assert!(queue.is_empty());
    }

    #[test]
    fn connections_with_equally_much_left_alternate() {
        let mut queue = Queue::default();
        let mut left = [1024 * MIB; 4];
        (0..4).for_each(|key| queue.push(key, left[key]));
        let mut served = Vec::new();
        for _ in 0..12 {
            queue.begin();
            let key = queue.pop().unwrap();
            served.push(key);
            left[key] -= MIB;
            queue.charge(MIB as usize);
            queue.push(key, left[key]);
        }
        assert_eq!(served, [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3]);
    }

    #[test]
    fn a_large_body_waits_for_a_bounded_number_of_small_ones() {
        let mut queue = Queue::default();
        queue.push(0, u64::MAX);
        let mut sent = 0;
        loop {
            queue.push(1, MIB);
            queue.begin();
            if queue.pop() == Some(0) {
                break;
            }
            queue.charge(MIB as usize);
            sent += MIB;
        }
        assert_eq!(sent, FAR / AGEING);
    }
}
