//! Replies that are kept, and why they are true when they are sent.
//!
//! The kernel reports changes; nothing is asked about a file that has not changed. Every file, directory and symbolic link
//! that a reply depends on is watched (inotify). Before kept replies are sent, one system call asks whether events or changes
//! of mounts have come since the last one: once in each epoch, which begins when requests have been read. As the kernel queues
//! an event before the system call that caused it returns, no reply is older than its request.
//!
//! | event | what is dropped |
//! |---|---|
//! | the file is written, cut, linked, renamed or deleted, or gets other permissions or times | the file, under all its names |
//! | a directory or symbolic link on the way to it, or to the served directory, is renamed, deleted or gets other permissions | all that is behind it |
//! | a name is made, deleted or renamed in a directory | the directory's index page and listings, and the 404s of names that were missing in it |
//! | a file of a listed directory is written or gets other permissions or times | the directory's listings |
//! | something is mounted or unmounted anywhere, or events were lost | everything |
//!
//! A reply is dropped when it is asked for next. Nothing is kept that cannot be watched: what is reached through a symbolic
//! link below the served directory, or is on a file system that is not known to be local.
//!
//! The kernel reports neither a store through `mmap` nor a write by Linux's own asynchronous I/O (`io_submit`). So an entry that
//! has not been compared for [`COMPARE`] is compared with what its name leads to, at most one in [`LOOKUPS`] requests. This is
//! the one exception.
//!
//! Invariant: an entry lists all that it depends on, and is sent only where none of that has changed since it was made.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lru::LruCache;

mod changes;
mod dropped;
mod watcher;

use self::changes::Dependency;
use self::dropped::Dropped;
pub(super) use self::watcher::Watched;
use self::watcher::Watcher;
use super::identity::Identity;
use super::names::root::Root;
use super::representation::Representation;
use crate::config::ServerConfig;
use crate::handler::clock::Clock;
use crate::handler::prepared::Prepared;

/// Time after which an entry is compared with what its name leads to.
const COMPARE: Duration = Duration::from_secs(2);
/// At most one entry in so many lookups is compared: it costs a third of a request.
const LOOKUPS: u32 = 16;
/// Time that a reply keeps its place since it was asked for last.
const LATELY: Duration = Duration::from_secs(2);
/// What an entry costs beside its content: with its heads, its watches and what the allocator adds. 10,000 files of 1.5 KB were
/// measured.
const ENTRY: usize = 1000;
/// What a name in a listing costs, with its watch.
const DEPENDENCY: usize = 100;
/// More entries than this are never kept, however small they are.
const MAX_ENTRIES: usize = 64 * 1024;
/// The listing of a directory with more names is made anew each time: to keep it, each of them would have to be watched.
pub(super) const MAX_LISTED: usize = 512;
/// A reply that is kept.
#[derive(Debug)]
pub(super) enum CachedReply {
    /// A file, or the index page of a directory.
    File(Arc<Representation>),
    Listing(Arc<Prepared>),
    NotFound,
}

#[derive(Debug)]
struct CacheEntry {
    reply: CachedReply,
    way: Arc<[Dependency]>,
    own: Box<[Dependency]>,
    /// The path of the file that it was made of, and what that was: `None` for a 404.
    made_of: Option<(Box<[u8]>, Identity)>,
    /// The generation of changes in which its dependencies were last found unchanged.
    generation: u64,
    /// When it is to be compared with what its name leads to.
    compare_at: Instant,
    /// When it was asked for last.
    used: Instant,
}

impl CacheEntry {
    fn is_unchanged(&self) -> bool {
        self.way
            .iter()
            .chain(&self.own)
            .all(Dependency::is_unchanged)
    }

    /// Compares it with what its name leads to now. Of a listing that would be all that it lists: it is made anew.
    fn is_still(&self, root: &Root, scratch: &mut Vec<u8>) -> bool {
        let stat = |path: &[u8], scratch| root.stat(path, scratch).ok();
        match (&self.reply, &self.made_of) {
            (CachedReply::NotFound, _) => true,
            (CachedReply::File(_), Some((path, identity))) => {
                stat(path, scratch).is_some_and(|stat| Identity::from(&stat) == *identity)
            }
            _ => false,
        }
    }

    fn cost(&self, key: &[u8]) -> usize {
        let content = match &self.reply {
            CachedReply::File(file) => file.content().map_or(0, <[u8]>::len),
            CachedReply::Listing(page) => page.content().len() + self.own.len() * DEPENDENCY,
            CachedReply::NotFound => 0,
        };
        ENTRY + key.len() + content
    }
}

/// The replies of one loop, by the path that was asked for; see the table above.
pub(super) struct Cache {
    entries: LruCache<Box<[u8]>, CacheEntry>,
    bytes: usize,
    pub(super) watcher: Watcher,
    dropped: Dropped,
    /// How often something was found since an entry was last compared.
    lookups: u32,
}

impl Cache {
    /// Makes an empty cache; to be called before the process is confined.
    pub(super) fn new() -> Self {
        Self {
            entries: LruCache::unbounded(),
            bytes: 0,
            watcher: Watcher::new(),
            dropped: Dropped::default(),
            lookups: LOOKUPS,
        }
    }

    /// Gives what is kept for `key` to `send`, if it is true now.
    #[inline]
    pub(super) fn find<R>(
        &mut self,
        key: &[u8],
        clock: &Clock,
        root: &Root,
        send: impl FnOnce(&CachedReply) -> R,
    ) -> Option<R> {
        let entry = self.entries.get_mut(key)?;
        self.watcher.changes.check(clock.epoch());
        if entry.generation != self.watcher.changes.generation {
            if !entry.is_unchanged() {
                self.remove(key);
                self.dropped.note(key, clock.instant);
                return None;
            }
            entry.generation = self.watcher.changes.generation;
        }
        entry.used = clock.instant;
        self.lookups = self.lookups.saturating_add(1);
        if entry.compare_at <= clock.instant && self.lookups >= LOOKUPS {
            self.lookups = 0;
            entry.compare_at = clock.instant + COMPARE;
            if !entry.is_still(root, &mut self.watcher.scratch) {
                self.remove(key);
                return None;
            }
        }
        Some(send(&entry.reply))
    }

    /// Says whether a reply for `key` is to be kept, of which about `size` bytes would stay in memory. It may take the place of one
    /// that was not asked for lately: of a site that does not fit, files would else be kept in turn for each other.
    pub(super) fn admits(
        &mut self,
        key: &[u8],
        size: u64,
        clock: &Clock,
        config: &ServerConfig,
    ) -> bool {
        self.watcher.changes.check(clock.epoch());
        let size = ENTRY + key.len() + usize::try_from(size).unwrap_or(usize::MAX / 2);
        if size > config.cache_bytes / 8 || self.dropped.is_recent(key, clock.instant) {
            return false;
        }
        while self.bytes + size > config.cache_bytes || self.watcher.changes.is_full() {
            let Some((_, oldest)) = self.entries.peek_lru() else {
                return false;
            };
            if clock.instant.saturating_duration_since(oldest.used) < LATELY {
                return false;
            }
            self.remove_oldest();
        }
        true
    }

    /// Keeps that nothing is at `path`, which is so with every path that begins with its first missing name.
    pub(super) fn put_missing(
        &mut self,
        root: &Root,
        key: &[u8],
        path: &[u8],
        clock: &Clock,
        config: &ServerConfig,
    ) {
        if !self.admits(key, 0, clock, config) {
            return;
        }
        let Some((way, names)) = self.watcher.way_to_missing(root, path, clock) else {
            return;
        };
        let entry = CacheEntry {
            reply: CachedReply::NotFound,
            way,
            own: [names].into(),
            made_of: None,
            generation: self.watcher.changes.generation,
            compare_at: clock.instant + COMPARE,
            used: clock.instant,
        };
        self.insert(key, entry, config);
    }

    /// Keeps a reply that was made of what is `watched`.
    pub(super) fn put(
        &mut self,
        key: &[u8],
        watched: Watched,
        reply: CachedReply,
        clock: &Clock,
        config: &ServerConfig,
    ) {
        let Watched {
            way,
            own,
            path,
            stat,
        } = watched;
        let entry = CacheEntry {
            reply,
            way,
            own: own.into(),
            made_of: Some((path, Identity::from(&stat))),
            generation: self.watcher.changes.generation,
            compare_at: clock.instant + COMPARE,
            used: clock.instant,
        };
        self.insert(key, entry, config);
    }

    fn insert(&mut self, key: &[u8], entry: CacheEntry, config: &ServerConfig) {
        let cost = entry.cost(key);
        if cost > config.cache_bytes / 8 {
            return;
        }
        self.bytes += cost;
        // What had the key before goes after it, so that a watch that both have stays.
        if let Some((key, old)) = self.entries.push(key.into(), entry) {
            self.bytes -= old.cost(&key);
        }
        while self.bytes > config.cache_bytes || self.entries.len() > MAX_ENTRIES {
            self.remove_oldest();
        }
    }

    fn remove_oldest(&mut self) {
        if let Some((key, entry)) = self.entries.pop_lru() {
            self.bytes -= entry.cost(&key);
        }
    }

    fn remove(&mut self, key: &[u8]) {
        if let Some(entry) = self.entries.pop(key) {
            self.bytes -= entry.cost(key);
        }
    }
}

/// A clone starts with nothing: loops share no memory.
impl Clone for Cache {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("entries", &self.entries.len())
            .field("bytes", &self.bytes)
            .field("watcher", &self.watcher)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
