//! Keys of replies for which something has just happened.
//!
//! Invariant: a key may be forgotten early, and none is remembered for too long. So users must be correct without it: a wrong result
//! costs only time.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::wire::file_threads::STAYS_IN_MEMORY;

/// Keys that were noted a short time ago.
#[derive(Debug)]
pub(super) struct RecentKeys {
    /// How long a key is remembered.
    time: Duration,
    hasher: RandomState,
    /// How many keys are remembered. Each has one place, by its hash, and the next key with the same place replaces it.
    count: usize,
    /// The hash of a key, and until when it is remembered; allocated when it is first needed.
    places: Box<[Option<(u64, Instant)>]>,
}

impl RecentKeys {
    /// Makes a memory for `count` keys that are remembered for this `time`.
    pub(super) fn new(count: usize, time: Duration) -> Self {
        Self {
            time,
            count,
            hasher: RandomState::new(),
            places: Box::default(),
        }
    }

    /// Notes `key` at the time `now`.
    pub(super) fn note(&mut self, key: &[u8], now: Instant) {
        if self.places.is_empty() {
            self.places = vec![None; self.count].into();
        }
        let hash = self.hasher.hash_one(key);
        self.places[hash as usize % self.count] = Some((hash, now + self.time));
    }

    /// Forgets all keys.
    fn clear(&mut self) {
        self.places = Box::default();
    }

    /// Returns whether `key` was noted a short time ago.
    pub(super) fn is_recent(&self, key: &[u8], now: Instant) -> bool {
        if self.places.is_empty() {
            return false;
        }
        let hash = self.hasher.hash_one(key);
        let is_meant = |(known, until): &(u64, Instant)| *known == hash && now < *until;
        self.places[hash as usize % self.count]
            .as_ref()
            .is_some_and(is_meant)
    }
}

/// The keys of files and directories that a file thread has just read. They are in memory by now, so the loop may read them itself, even
/// if their file system cannot tell what is in memory.
#[derive(Debug)]
pub(super) struct ReadByThread(Arc<Mutex<RecentKeys>>);

impl ReadByThread {
    /// Returns the same keys, for a copy of the handler.
    pub(super) fn share(&self) -> Self {
        Self(Arc::clone(&self.0))
    }

    pub(super) fn note(&self, key: &[u8], now: Instant) {
        self.lock().note(key, now);
    }

    pub(super) fn is_recent(&self, key: &[u8], now: Instant) -> bool {
        self.lock().is_recent(key, now)
    }

    /// Forgets all keys, because another file system may have been mounted over their files.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, RecentKeys> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for ReadByThread {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(RecentKeys::new(4096, STAYS_IN_MEMORY))))
    }
}

/// A clone is empty: loops share no memory.
impl Clone for ReadByThread {
    fn clone(&self) -> Self {
        Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_remembered_for_its_time() {
        let time = Duration::from_secs(1);
        let (mut keys, now) = (RecentKeys::new(1024, time), Instant::now());
        assert!(!keys.is_recent(b"a", now));
        keys.note(b"a", now);
        assert!(keys.is_recent(b"a", now + time / 2));
        assert!(!keys.is_recent(b"a", now + time));
        assert!(!keys.is_recent(b"b", now));
    }
}
