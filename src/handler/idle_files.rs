//! Large files that stay open for a moment after a reply, for the next request.
//!
//! Invariant: what a handler knows of them it must not hold open itself, so that the room of a deleted file is given back and
//! its file system can be unmounted when they are closed here, at most [`IDLE`] after their last use.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::wire::file_range::SharedFile;

/// Time without use after which a file is closed.
const IDLE: Duration = Duration::from_secs(4);

/// The files of one loop.
#[derive(Clone, Debug, Default)]
pub(crate) struct IdleFiles {
    files: Vec<(Arc<SharedFile>, Instant)>,
}

impl IdleFiles {
    /// Keeps `file` open, which is used `now`; beyond `most` files, the one that was not used for longest is closed.
    pub(crate) fn keep(&mut self, file: &Arc<SharedFile>, now: Instant, most: usize) {
        // What is asked for often was put behind the others.
        let found = self
            .files
            .iter()
            .rposition(|(known, _)| Arc::ptr_eq(known, file));
        if let Some((_, used)) = found.and_then(|index| self.files.get_mut(index)) {
            *used = now;
            return;
        }
        if self.files.len() >= most
            && let Some((oldest, _)) = self
                .files
                .iter()
                .enumerate()
                .min_by_key(|(_, (_, used))| *used)
        {
            self.files.swap_remove(oldest);
        }
        if most > 0 {
            self.files.push((Arc::clone(file), now));
        }
    }

    /// Closes those that were not used for long enough.
    pub(crate) fn close_unused(&mut self, now: Instant) {
        if !self.files.is_empty() {
            self.files
                .retain(|(_, used)| now.saturating_duration_since(*used) < IDLE);
        }
    }

    /// When the next one is to be closed.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let used = self.files.iter().map(|(_, used)| *used).min()?;
        used.checked_add(IDLE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Arc<SharedFile> {
        Arc::new(tempfile::tempfile().unwrap().into())
    }

    #[test]
    fn a_file_is_closed_when_it_was_not_used_for_a_while() {
        let (mut idle, now) = (IdleFiles::default(), Instant::now());
        let (a, b) = (file(), file());
        idle.keep(&a, now, 9);
        idle.keep(&b, now, 9);
        idle.keep(&a, now + IDLE / 2, 9);
        assert_eq!(idle.next_deadline(), Some(now + IDLE));
        idle.close_unused(now + IDLE);
        assert_eq!((Arc::strong_count(&a), Arc::strong_count(&b)), (2, 1));
        idle.close_unused(now + IDLE * 3 / 2);
        assert_eq!((Arc::strong_count(&a), idle.next_deadline()), (1, None));
    }

    #[test]
    fn at_the_limit_the_one_goes_that_was_not_used_for_longest() {
        let (mut idle, now) = (IdleFiles::default(), Instant::now());
        let files = [file(), file(), file()];
        for (index, file) in files.iter().enumerate() {
            idle.keep(file, now + Duration::from_millis(index as u64), 2);
        }
        let counts = files.each_ref().map(Arc::strong_count);
        assert_eq!(counts, [1, 2, 2]);
        idle.keep(&files[0], now, 0);
        assert_eq!(Arc::strong_count(&files[0]), 1);
    }
}
