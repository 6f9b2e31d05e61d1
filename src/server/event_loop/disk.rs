//! Connections that need bytes which are not in the page cache: the kernel reads ahead, or a file thread reads, and the connections try
//! again soon.
//!
//! Invariant: without file threads, a bounded number of connections has the kernel read ahead at the same time. When the disk's own
//! queue is full, a request to read ahead would block.

use std::mem;
use std::time::{Duration, Instant};

use crate::wire::share::Cold;

/// Time before the connections try whether the disk has delivered.
const PAUSE: Duration = Duration::from_millis(1);
/// Connections that may have the kernel read ahead at the same time.
const READERS: usize = 32;

/// Connections that wait for the disk.
#[derive(Debug)]
pub(super) struct Disk {
    waiting: Vec<usize>,
    /// When they try again; `None` while no connection waits.
    until: Option<Instant>,
    /// Whether the connections wait; otherwise a read of the loop waits for the disk.
    read_ahead: bool,
}

impl Disk {
    pub(super) fn new(read_ahead: bool) -> Self {
        Self {
            waiting: Vec::new(),
            until: None,
            read_ahead,
        }
    }

    /// Returns what the next connection does that needs bytes which are not in the page cache.
    pub(super) fn allows(&self) -> Cold {
        match self.read_ahead {
            false => Cold::Read,
            true if self.waiting.len() < READERS => Cold::Ask,
            true => Cold::Wait,
        }
    }

    /// Lets `key` wait.
    pub(super) fn push(&mut self, key: usize, now: Instant) {
        self.until.get_or_insert(now + PAUSE);
        self.waiting.push(key);
    }

    /// Takes out all waiting connections if it is time for them to try again.
    pub(super) fn due(&mut self, now: Instant) -> Vec<usize> {
        if self.until.is_none_or(|until| now < until) {
            return Vec::new();
        }
        self.until = None;
        mem::take(&mut self.waiting)
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bounded_number_asks_and_all_try_again_together() {
        let (mut disk, now) = (Disk::new(true), Instant::now());
        assert_eq!(disk.next_deadline(), None);
        for key in 0..READERS {
            assert_eq!(disk.allows(), Cold::Ask);
            disk.push(key, now);
        }
        assert_eq!(disk.allows(), Cold::Wait);
        disk.push(99, now + PAUSE / 2);
        assert_eq!(disk.next_deadline(), Some(now + PAUSE));
        assert!(disk.due(now + PAUSE / 2).is_empty());
        assert_eq!(disk.due(now + PAUSE).len(), READERS + 1);
        assert_eq!((disk.allows(), disk.next_deadline()), (Cold::Ask, None));
        assert_eq!(Disk::new(false).allows(), Cold::Read);
    }
}
