//! Connections whose files are not in memory: the kernel reads ahead, and they try again soon.
//!
//! Invariant: only so many have the kernel read ahead at the same time, for beyond what the disk's own queue takes, asking would
//! itself have to wait.

use std::mem;
use std::time::{Duration, Instant};

use crate::wire::share::Cold;

/// How long the disk is left alone before it is looked whether it has delivered.
const PAUSE: Duration = Duration::from_millis(1);
/// Connections that may ask.
const READERS: usize = 32;

#[derive(Debug)]
pub(crate) struct Disk {
    waiting: Vec<usize>,
    /// When they try again; none while nobody waits.
    until: Option<Instant>,
    /// Whether anybody is to wait at all.
    read_ahead: bool,
}

impl Disk {
    pub(crate) fn new(read_ahead: bool) -> Self {
        Self {
            waiting: Vec::new(),
            until: None,
            read_ahead,
        }
    }

    /// What the next connection may do that finds its file cold.
    pub(crate) fn allows(&self) -> Cold {
        match self.read_ahead {
            false => Cold::Read,
            true if self.waiting.len() < READERS => Cold::Ask,
            true => Cold::Wait,
        }
    }

    /// Lets `key` wait.
    pub(crate) fn push(&mut self, key: usize, now: Instant) {
        self.until.get_or_insert(now + PAUSE);
        self.waiting.push(key);
    }

    /// Takes out those who wait, if it is time for them to try again.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<usize> {
        if self.until.is_none_or(|until| now < until) {
            return Vec::new();
        }
        self.until = None;
        mem::take(&mut self.waiting)
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_ask_and_all_try_again_together() {
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
