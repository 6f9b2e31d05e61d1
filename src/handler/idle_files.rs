//! Large files that stay open for a few seconds after a reply, for the next request.
//!
//! Invariant: between requests only this list holds the files open; a handler has weak references. So [`IDLE`] after its last use
//! a file is closed: the space of a deleted file is freed, and its file system can be unmounted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::wire::shared_file::SharedFile;

/// Time since its last use after which a file is closed. `ServerConfig` promises 5 seconds, because a turn may come late.
const IDLE: Duration = Duration::from_secs(4);

/// The files of one loop.
#[derive(Clone, Debug, Default)]
pub(crate) struct IdleFiles {
    files: Vec<(Arc<SharedFile>, Instant)>,
}

impl IdleFiles {
    /// Keeps `file` open, which is used `now`. Beyond `most` files, the one that was unused for the longest time is closed.
    pub(crate) fn keep(&mut self, file: &Arc<SharedFile>, now: Instant, most: usize) {
        // The search begins at the end: files that were added lately are likely to be requested again.
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

    /// Closes the files that were not used for [`IDLE`].
    // Inlined into the loop of the site; that of the administration is the other caller, and rare.
    #[inline(always)]
    pub(crate) fn close_unused(&mut self, now: Instant) {
        if !self.files.is_empty() {
            self.files
                .retain(|(_, used)| now.saturating_duration_since(*used) < IDLE);
        }
    }

    /// Returns when the next file is to be closed.
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
    fn a_file_is_closed_when_it_was_not_used_for_a_time() {
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
    fn at_the_limit_the_file_that_was_unused_for_longest_is_closed() {
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
