//! Files that have just changed are not worth keeping: one that changes all the time would be kept and dropped as often.
//!
//! Invariant: what is not kept is answered as well, only not from memory; a wrong answer costs time and nothing else.

use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, Instant};

/// Keys that are remembered; each has one place, and the next key with that place takes it.
const PLACES: usize = 1024;
/// Time that a file is not kept after a change.
const PAUSE: Duration = Duration::from_millis(100);

/// Keys of replies that were dropped a moment ago.
#[derive(Debug, Default)]
pub(super) struct Dropped {
    hasher: RandomState,
    /// The hash of a key, and until when it is not kept; made when it is first needed.
    places: Box<[Option<(u64, Instant)>]>,
}

impl Dropped {
    /// Notes that `key` was dropped because it had changed.
    pub(super) fn note(&mut self, key: &[u8], now: Instant) {
        if self.places.is_empty() {
            self.places = vec![None; PLACES].into();
        }
        let hash = self.hasher.hash_one(key);
        self.places[hash as usize % PLACES] = Some((hash, now + PAUSE));
    }

    /// Whether `key` was dropped a moment ago.
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
    fn what_has_changed_is_not_kept_again_at_once() {
        let (mut dropped, now) = (Dropped::default(), Instant::now());
        assert!(!dropped.is_recent(b"a", now));
        dropped.note(b"a", now);
        assert!(dropped.is_recent(b"a", now + PAUSE / 2));
        assert!(!dropped.is_recent(b"a", now + PAUSE));
        assert!(!dropped.is_recent(b"b", now));
    }
}
