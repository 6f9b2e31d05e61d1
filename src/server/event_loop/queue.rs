//! Connections with more to do than the events of a turn allow, and who of them goes first: whoever has least left, so that
//! small answers do not wait behind big ones.
//!
//! Invariant: nobody starves. A rank stays while its connection waits, and those of newcomers grow with all that is sent
//! meanwhile: after at most [`FAR`] / [`AGEING`] bytes, everybody who comes is behind.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// More than this is as good as endless.
const FAR: u64 = 256 * 1024 * 1024;
/// How much faster ranks grow than bytes are sent.
const AGEING: u64 = 16;

#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// Rank and key, the lowest first.
    waiting: BinaryHeap<Reverse<(u64, usize)>>,
    /// Those who came since the turn of the queue began: they had theirs.
    late: Vec<Reverse<(u64, usize)>>,
    sent: u64,
}

impl Queue {
    /// Lets `key` wait, who has `left` bytes to go; it has its turn the next time that the queue has one.
    pub(crate) fn push(&mut self, key: usize, left: u64) {
        let rank = left.min(FAR) + self.sent * AGEING;
        self.late.push(Reverse((rank, key)));
    }

    /// Begins a turn of the queue.
    pub(crate) fn begin(&mut self) {
        self.waiting.extend(self.late.drain(..));
    }

    /// Takes out the next; it may be gone meanwhile.
    pub(crate) fn pop(&mut self) -> Option<usize> {
        self.waiting.pop().map(|Reverse((_, key))| key)
    }

    /// Notes that a turn of somebody in the queue has cost so many bytes.
    pub(crate) fn charge(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.late.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn whoever_has_least_left_goes_first() {
        let mut queue = Queue::default();
        for (key, left) in [(1, 900 * MIB), (2, MIB), (3, 100 * MIB)] {
            queue.push(key, left);
        }
        queue.begin();
        assert_eq!(queue.pop(), Some(2));
        // Whoever comes now has to wait for the next turn, but not for longer.
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
    fn equals_take_turns() {
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
    fn a_large_body_waits_only_so_long_for_small_ones() {
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
