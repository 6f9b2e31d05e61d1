//! Replies that are kept, and dropped when a file that they depend on changes.
//!
//! The kernel reports changes, so an unchanged file costs no system call. Every file, directory and symbolic link that a reply
//! depends on is watched (inotify). Before kept replies are sent, one system call asks whether events or changes of mounts
//! are there. It is made once in each epoch; an epoch begins when requests have been read. The kernel queues an event before
//! the system call that caused it returns, so no reply is older than its request.
//!
//! | event | dropped replies |
//! |---|---|
//! | the file is written, cut, linked, renamed or deleted, or gets other permissions or times | the file, under all its names |
//! | a directory or symbolic link on the way to it, or to the served directory, is renamed, deleted or gets other permissions | all that lies behind it |
//! | a name is made, deleted or renamed in a directory | the directory's index page and listings, and the 404s of names that were missing in it |
//! | a file of a listed directory is written or gets other permissions or times | the directory's listings |
//! | something is mounted or unmounted anywhere, or events were lost | all |
//!
//! A changed reply is dropped at the next request for it. A reply is not kept if its changes cannot be watched: if the file is
//! reached through a symbolic link below the served directory, or is on a file system that is not known to be local.
//!
//! The kernel reports neither a store through `mmap` nor a write by Linux's own asynchronous I/O (`io_submit`). So an entry that
//! was not compared for [`COMPARE_AFTER`] is compared with the file at its path, at most one in [`LOOKUPS_PER_COMPARISON`]
//! requests. Only after such a change can a reply be older than its request.
//!
//! Invariant: an entry lists all that it depends on, and is sent only if none of that has changed since it was made.

use std::fmt;
use std::mem;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lru::LruCache;
use rustix::io::Errno;

mod changes;
mod watcher;

use self::changes::{Changes, Dependency};
pub(super) use self::watcher::Watched;
use self::watcher::Watcher;
use super::identity::Identity;
use super::listing::KeptListing;
use super::look_up::is_unavailable;
use super::names::root::Root;
use super::recent_keys::RecentKeys;
use super::representation::Representation;
use crate::config::ServerConfig;
use crate::handler::clock::Clock;
use crate::handler::server_info::{CacheSize, ServerInfo};

/// Time after which an entry is compared with the file at its path.
const COMPARE_AFTER: Duration = Duration::from_secs(2);
/// At most one entry in this many lookups is compared, because that costs a third of a request.
const LOOKUPS_PER_COMPARISON: u32 = 16;
/// Time after a change until a file may be kept again.
const KEEP_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// Time after its last use for which a reply is not removed to make room for another one.
const RECENT: Duration = Duration::from_secs(2);
/// Bytes of an entry beside its content: heads, watches and the allocator's own. Measured with 10,000 files of 1.5 KB.
const ENTRY_BYTES: usize = 1000;
/// Bytes of one dependency of a listing, with its watch; each name in a listing is two.
const DEPENDENCY_BYTES: usize = 100;
/// The most entries that are kept, however small they are.
const MAX_ENTRIES: usize = 64 * 1024;
/// The most names in a listing that is kept: each of them has to be watched.
pub(super) const MAX_LISTED: usize = 512;

/// A reply that is kept.
#[derive(Debug)]
pub(super) enum CachedReply {
    /// A file, or the index page of a directory.
    File(Arc<Representation>),
    Listing(Arc<KeptListing>),
    /// A rule file of a site is unchanged; the handler has its rules.
    Rules,
    /// Nothing is at the path: a 404, unless the site has another reply.
    Nothing,
}

#[derive(Debug)]
struct CacheEntry {
    reply: CachedReply,
    /// The directories and symbolic links on the way to the file, shared by all replies behind them.
    way: Arc<[Dependency]>,
    /// What this reply alone depends on: the file, or the names in a directory.
    own: Box<[Dependency]>,
    /// The path and the identity of the file that the reply was made of; `None` for a 404.
    made_of: Option<(Box<[u8]>, Identity)>,
    /// The generation of changes in which the dependencies were last found unchanged.
    generation: u64,
    /// When the entry is to be compared with the file at its path.
    compare_at: Instant,
    /// When the entry was used last.
    used: Instant,
    /// The [changes](Self::changes) when they were last asked for.
    changes_seen: u64,
}

impl CacheEntry {
    fn is_unchanged(&self) -> bool {
        self.way
            .iter()
            .chain(&self.own)
            .all(Dependency::is_unchanged)
    }

    /// Returns how often what the entry depends on has changed.
    fn changes(&self) -> u64 {
        let dependencies = self.way.iter().chain(&self.own);
        dependencies.map(Dependency::changes).sum()
    }

    /// Compares the entry with the file that is at its path now. A 404 needs no comparison, because the kernel reports every name
    /// that is made. For a listing all its files would have to be compared, so a listing counts as changed and is made anew. If no
    /// descriptor is left for the comparison, or it might wait for the disk, it has to come later.
    fn is_same_on_disk(&self, root: &Root, watcher: &mut Watcher) -> bool {
        match (&self.reply, &self.made_of) {
            (CachedReply::Nothing, _) => true,
            (CachedReply::File(_) | CachedReply::Rules, Some((path, identity))) => {
                match watcher.stat(root, path) {
                    Ok(stat) => Identity::from(&stat) == *identity,
                    Err(error) => Errno::from_io_error(&error).is_some_and(is_unavailable),
                }
            }
            _ => false,
        }
    }

    fn cost(&self, key: &[u8]) -> usize {
        let content = match &self.reply {
            CachedReply::File(file) => file.bytes_in_memory(),
            CachedReply::Listing(listing) => listing.bytes() + self.own.len() * DEPENDENCY_BYTES,
            CachedReply::Rules | CachedReply::Nothing => 0,
        };
        ENTRY_BYTES + key.len() + content
    }
}

/// The replies of one loop, by the path that was requested; see the table above.
pub(super) struct Cache {
    entries: LruCache<Box<[u8]>, CacheEntry>,
    bytes: usize,
    pub(super) watcher: Watcher,
    /// Files that have just changed are not kept: a file that changes all the time would be kept and dropped each time.
    dropped: RecentKeys,
    /// Whether a lookup has dropped a changed reply since the last call of [`has_changed`](Self::has_changed).
    has_dropped: bool,
    /// The generation of changes at the last call of [`has_changed`](Self::has_changed).
    told_until: u64,
    /// Lookups that found an entry since an entry was last compared.
    lookups: u32,
    /// The size that the server was told last.
    told: CacheSize,
}

impl Cache {
    /// Makes an empty cache; to be called before the process is confined.
    pub(super) fn new() -> Self {
        Self::with(Changes::open())
    }

    /// Makes a cache that keeps nothing.
    pub(super) fn that_keeps_nothing() -> Self {
        Self::with(Changes::unreported())
    }

    fn with(changes: Changes) -> Self {
        let watcher = Watcher::new(changes);
        Self {
            entries: LruCache::unbounded(),
            bytes: 0,
            watcher,
            dropped: RecentKeys::new(1024, KEEP_AGAIN_AFTER),
            has_dropped: false,
            told_until: 0,
            lookups: LOOKUPS_PER_COMPARISON,
            told: CacheSize::default(),
        }
    }

    /// Returns the descriptor that is readable when something has changed; `None` if changes are not reported. From now on, a file
    /// that has just changed is kept again at once, so that its next change is reported, too.
    pub(super) fn event_source(&mut self) -> Option<BorrowedFd<'_>> {
        self.dropped = RecentKeys::new(1, Duration::ZERO);
        self.watcher.changes.event_source()
    }

    /// Reads the changes until now. Returns whether one since the last call is about a reply that is or was kept. Until a changed reply
    /// is made anew, its further changes count as well.
    pub(super) fn has_changed(&mut self) -> bool {
        self.watcher.changes.read_changes();
        let generation = self.watcher.changes.generation;
        let mut has_changed = mem::take(&mut self.has_dropped);
        // A request of this turn may have read the changes already.
        if mem::replace(&mut self.told_until, generation) == generation {
            return has_changed;
        }
        for (_, entry) in &mut self.entries {
            let changes = entry.changes();
            has_changed |= mem::replace(&mut entry.changes_seen, changes) != changes;
        }
        has_changed
    }

    /// Passes the reply that is kept for `key` to `send`, if nothing that it depends on has changed.
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
                self.has_dropped = true;
                self.dropped.note(key, clock.instant);
                return None;
            }
            entry.generation = self.watcher.changes.generation;
        }
        entry.used = clock.instant;
        self.lookups = self.lookups.saturating_add(1);
        if entry.compare_at <= clock.instant && self.lookups >= LOOKUPS_PER_COMPARISON {
            self.lookups = 0;
            entry.compare_at = clock.instant + COMPARE_AFTER;
            if !entry.is_same_on_disk(root, &mut self.watcher) {
                self.remove(key);
                self.has_dropped = true;
                return None;
            }
        }
        Some(send(&entry.reply))
    }

    /// Returns whether a reply for `key` is to be kept, of which about `size` bytes would stay in memory. Only replies that were
    /// not used lately are removed for it: if a site does not fit, its files would otherwise replace each other in turn.
    pub(super) fn admits(
        &mut self,
        key: &[u8],
        size: u64,
        clock: &Clock,
        config: &ServerConfig,
    ) -> bool {
        self.watcher.changes.check(clock.epoch());
        let size = ENTRY_BYTES + key.len() + usize::try_from(size).unwrap_or(usize::MAX / 2);
        if size > config.tuning.cache_bytes / 8 || self.dropped.is_recent(key, clock.instant) {
            return false;
        }
        while self.bytes + size > config.tuning.cache_bytes || self.watcher.changes.is_full() {
            let Some((_, oldest)) = self.entries.peek_lru() else {
                return false;
            };
            if clock.instant.saturating_duration_since(oldest.used) < RECENT {
                return false;
            }
            self.remove_oldest();
        }
        true
    }

    /// Keeps the 404 for `path` until the first missing name on the path exists.
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
            reply: CachedReply::Nothing,
            way,
            own: [names].into(),
            made_of: None,
            generation: self.watcher.changes.generation,
            compare_at: clock.instant + COMPARE_AFTER,
            used: clock.instant,
            changes_seen: 0,
        };
        self.insert(key, entry, config);
    }

    /// Keeps a reply to a file or directory that is `watched`.
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
            compare_at: clock.instant + COMPARE_AFTER,
            used: clock.instant,
            changes_seen: 0,
        };
        self.insert(key, entry, config);
    }

    fn insert(&mut self, key: &[u8], mut entry: CacheEntry, config: &ServerConfig) {
        entry.changes_seen = entry.changes();
        let cost = entry.cost(key);
        if cost > config.tuning.cache_bytes / 8 {
            return;
        }
        self.bytes += cost;
        // The old entry is dropped after the new one is in place, so that a watch which both have stays.
        if let Some((key, old)) = self.entries.push(key.into(), entry) {
            self.bytes -= old.cost(&key);
        }
        self.remove_excess(config);
    }

    fn remove_excess(&mut self, config: &ServerConfig) {
        while self.bytes > config.tuning.cache_bytes || self.entries.len() > MAX_ENTRIES {
            self.remove_oldest();
        }
    }

    /// Has `add` add a coding to the reply that is kept for `key`, if there is one.
    pub(super) fn add_coding(
        &mut self,
        key: &[u8],
        config: &ServerConfig,
        add: impl FnOnce(&CachedReply),
    ) {
        let Some(entry) = self.entries.peek(key) else {
            return;
        };
        let before = entry.cost(key);
        add(&entry.reply);
        self.bytes += entry.cost(key) - before;
        self.remove_excess(config);
    }

    /// Tells `server` how large the cache is now.
    pub(super) fn tell_size(&mut self, server: &ServerInfo) {
        let size = CacheSize {
            entries: self.entries.len() as u64,
            bytes: self.bytes as u64,
            watches: self.watcher.changes.in_use() as u64,
        };
        server.change_cache_size(mem::replace(&mut self.told, size), size);
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

/// A clone is empty: loops share no memory.
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
