//! Files that have just changed. They are not kept: a file that changes all the time would be kept and dropped each time.
//!
//! Invariant: a file that is not kept is still served, but not from memory. So a wrong result here costs only time.

use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, Instant};

/// Keys that are remembered. Each has one place, by its hash, and the next key with the same place replaces it.
const PLACES: usize = 1024;
/// Time after a change until a file may be kept again.
const KEEP_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Keys of replies that were dropped because of a change.
#[derive(Debug, Default)]
pub(super) struct Dropped {
    hasher: RandomState,
    /// The hash of a key, and until when its reply is not kept; allocated when it is first needed.
    places: Box<[Option<(u64, Instant)>]>,
}

impl Dropped {
    /// Notes that `key` was dropped because it had changed.
    pub(super) fn note(&mut self, key: &[u8], now: Instant) {
        if self.places.is_empty() {
            self.places = vec![None; PLACES].into();
        }
        let hash = self.hasher.hash_one(key);
        self.places[hash as usize % PLACES] = Some((hash, now + KEEP_AGAIN_AFTER));
    }

    /// Returns whether `key` was dropped a moment ago.
    pub(super) fn is_recent(&self, key: &[u8], now: Instant) -> bool {
        if self.places.is_empty() {
            return false;
        }
        let hash = self.hasher.hash_one(key);
        let is_meant = |(known, until): &(u64, Instant)| *known == hash && now < *until;
        self.places[hash as usize % PLACES]
            .as_ref()
            .is_some_and(is_meant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_not_kept_again_at_once() {
        let (mut dropped, now) = (Dropped::default(), Instant::now());
        assert!(!dropped.is_recent(b"a", now));
        dropped.note(b"a", now);
        assert!(dropped.is_recent(b"a", now + KEEP_AGAIN_AFTER / 2));
        assert!(!dropped.is_recent(b"a", now + KEEP_AGAIN_AFTER));
        assert!(!dropped.is_recent(b"b", now));
    }
}
