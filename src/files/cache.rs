//! Replies with small files, and descriptors of large ones, kept as long as the file system says that they are still true.
//!
//! Invariant: nothing is given out that was not checked in this same turn of the loop: path, device, inode, size and both
//! times. A file that changed within the last ticks of the file system's clock is served but not kept, for it could change
//! again without a trace.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lru::LruCache;
use rustix::fs::Stat;

use super::checks::{Check, Checks, Mounts};
use super::kept_file::KeptFile;
use super::kept_listing::KeptListing;
use super::open::Root;
use crate::config::ServerConfig;
use crate::handler::clock::Clock;
use crate::handler::kept_page::KeptPage;
use crate::handler::server_info::ServerInfo;

/// A time stamp this old will not be given to another change: some file systems count in ticks of 10 ms.
const SETTLED: Duration = Duration::from_millis(40);
/// The same where the stamps have whole seconds only.
const SETTLED_SECONDS: Duration = Duration::from_secs(3);
/// What an entry costs beside its bytes, with what the allocator adds: 70,000 files of one byte were measured.
const ENTRY: usize = 720;
/// More entries than this are never kept, however small they are.
const MAX_ENTRIES: usize = 64 * 1024;

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) device: u64,
    inode: u64,
    size: i64,
    /// Seconds and nanoseconds since 1970.
    pub(crate) modified: (i64, u64),
    changed: (i64, u64),
}

impl From<&Stat> for Identity {
    fn from(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: stat.st_size,
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}

impl Identity {
    /// Whether any further change after `now` (since 1970) would show.
    pub(super) fn is_settled(&self, now: Duration) -> bool {
        [self.modified, self.changed]
            .iter()
            .all(|stamp| since_1970(*stamp).saturating_add(self.tick()) < now)
    }

    /// Whether the content has changed so shortly before `now` (since 1970) that its next change may have the same time.
    pub(crate) fn is_fresh(&self, now: Duration) -> bool {
        since_1970(self.modified).abs_diff(now) <= self.tick()
    }

    fn tick(&self) -> Duration {
        if self.modified.1 == 0 && self.changed.1 == 0 {
            SETTLED_SECONDS
        } else {
            SETTLED
        }
    }
}

fn since_1970((seconds, nanoseconds): (i64, u64)) -> Duration {
    let seconds = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    seconds.saturating_add(Duration::from_nanos(nanoseconds))
}

#[derive(Debug)]
struct Entry {
    identity: Identity,
    /// The turn in which it was last found to be true.
    turn: u64,
    file: Arc<KeptFile>,
    check: Check,
}

impl Entry {
    fn cost(&self, path: &[u8]) -> usize {
        ENTRY + path.len() + self.file.memory()
    }
}

/// Replies by path below the directory; a path is a key only once it was served, so a client cannot fill it with names.
pub(crate) struct Cache {
    entries: LruCache<Box<[u8]>, Entry>,
    bytes: usize,
    descriptors: usize,
    checks: Checks,
    /// The path where nothing was found last, and the turn in which that was so.
    missing: (Vec<u8>, Option<u64>),
    /// The page that says so.
    pub(crate) not_found: KeptPage,
    pub(crate) listing: KeptListing,
}

impl Cache {
    pub(crate) fn new(mounts: Arc<Mounts>) -> Self {
        Self {
            entries: LruCache::unbounded(),
            bytes: 0,
            descriptors: 0,
            checks: Checks::new(mounts),
            missing: (Vec::new(), None),
            not_found: KeptPage::default(),
            listing: KeptListing::default(),
        }
    }

    /// Returns what was kept of the file at `path`, if it is true in this turn.
    pub(crate) fn get(
        &mut self,
        path: &[u8],
        clock: &Clock,
        root: &Root,
        server: &ServerInfo,
    ) -> Option<Arc<KeptFile>> {
        let entry = self.entries.get_mut(path)?;
        if entry.turn != clock.turn {
            let (identity, check) = (entry.identity, &mut entry.check);
            let checks = &mut self.checks;
            if !checks.is_true(path, identity, check, clock, root, server) {
                self.remove(path);
                return None;
            }
            entry.turn = clock.turn;
        }
        Some(Arc::clone(&entry.file))
    }

    /// Is told of every connection that begins.
    pub(crate) fn enter(&mut self) {
        if self.checks.enter() {
            self.let_go();
        }
    }

    /// Is told of every connection that has ended.
    pub(crate) fn leave(&mut self) {
        if self.checks.leave() {
            self.let_go();
        }
    }

    /// Closes the descriptors that files are checked by.
    fn let_go(&mut self) {
        if self.checks.held() == 0 {
            return;
        }
        for (_, entry) in self.entries.iter_mut() {
            if let Check::Descriptor(_) = entry.check {
                entry.check = Check::Name;
            }
        }
    }

    /// Whether nothing was found at `path` in this `turn`.
    pub(crate) fn is_missing(&self, path: &[u8], turn: u64) -> bool {
        self.missing.1 == Some(turn) && self.missing.0 == path
    }

    /// Notes that nothing was found at `path` in this `turn`.
    pub(crate) fn note_missing(&mut self, path: &[u8], turn: u64) {
        let (missing, noted) = &mut self.missing;
        missing.clear();
        missing.extend_from_slice(path);
        *noted = Some(turn);
    }

    /// Keeps a file that is `identity`, of which the replies were made in this turn.
    pub(crate) fn put(
        &mut self,
        path: &[u8],
        identity: Identity,
        file: KeptFile,
        clock: &Clock,
        config: &ServerConfig,
    ) {
        let check = if file.whole.holds_descriptor() {
            Check::NameAlone
        } else {
            Check::Name
        };
        let entry = Entry {
            identity,
            turn: clock.turn,
            file: Arc::new(file),
            check,
        };
        let cost = entry.cost(path);
        if cost > config.cache_bytes / 8 || !identity.is_settled(clock.since_1970) {
            return;
        }
        self.remove(path);
        self.bytes += cost;
        self.descriptors += usize::from(entry.file.whole.holds_descriptor());
        self.entries.put(path.into(), entry);
        while self.bytes > config.cache_bytes
            || self.descriptors > config.cache_descriptors
            || self.entries.len() > MAX_ENTRIES
        {
            let Some((path, entry)) = self.entries.pop_lru() else {
                return;
            };
            self.forget(&path, &entry);
        }
    }

    fn remove(&mut self, path: &[u8]) {
        if let Some(entry) = self.entries.pop(path) {
            self.forget(path, &entry);
        }
    }

    fn forget(&mut self, path: &[u8], entry: &Entry) {
        self.bytes -= entry.cost(path);
        self.descriptors -= usize::from(entry.file.whole.holds_descriptor());
    }
}

/// A clone starts with nothing: loops share no memory.
impl Clone for Cache {
    fn clone(&self) -> Self {
        Self::new(self.checks.mounts())
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("entries", &self.entries.len())
            .field("bytes", &self.bytes)
            .field("descriptors", &self.descriptors)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;
    use std::time::SystemTime;

    use super::*;
    use crate::files::open::Symlinks;
    use crate::files::resource::Resource;
    use crate::handler::BaseHttpRequestHandler;

    struct Nobody;

    impl BaseHttpRequestHandler for Nobody {}

    /// A directory of its own, and a clock that is a minute ahead of its files.
    struct Place {
        path: PathBuf,
        root: Root,
        clock: Clock,
    }

    impl Place {
        fn new(name: &str) -> Self {
            let name = format!("httpoll-cache-{}-{name}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir_all(&path).unwrap();
            let root = Root::open(&path, Symlinks::Inside).unwrap();
            let clock = Clock::at(SystemTime::now() + Duration::from_secs(60));
            Self { path, root, clock }
        }

        fn put(&self, cache: &mut Cache, name: &str, size: usize, config: &ServerConfig) {
            fs::write(self.path.join(name), vec![b'x'; size]).unwrap();
            let server = ServerInfo::new(&Nobody, config.clone(), &[]);
            let resource = Resource::new(self.root.file(name.as_bytes()).unwrap()).unwrap();
            let (identity, etag) = (resource.identity, resource.etag(self.clock.since_1970));
            let file = KeptFile::new(&server, resource, "text/plain", etag, 0).unwrap();
            cache.put(name.as_bytes(), identity, file, &self.clock, config);
        }

        /// Whether `name` is kept, so many `turns` later.
        fn has(&self, cache: &mut Cache, name: &str, turns: u64) -> bool {
            let server = ServerInfo::new(&Nobody, ServerConfig::default(), &[]);
            let clock = Clock {
                turn: self.clock.turn + turns,
                ..self.clock.clone()
            };
            cache
                .get(name.as_bytes(), &clock, &self.root, &server)
                .is_some()
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.path);
        }
    }

    #[test]
    fn what_is_kept_stays_within_its_bounds_and_the_oldest_goes_first() {
        let (place, mut cache) = (Place::new("bounds"), Cache::new(Arc::new(Mounts::open())));
        let config = ServerConfig {
            cache_bytes: 20_000,
            ..ServerConfig::default()
        };
        for number in 0..50 {
            place.put(&mut cache, &number.to_string(), 1000, &config);
            assert!(place.has(&mut cache, "0", 0) || number == 0);
            assert!(cache.bytes <= config.cache_bytes);
        }
        assert!(cache.entries.len() >= 5, "{cache:?}");
        assert!(place.has(&mut cache, "49", 0) && !place.has(&mut cache, "1", 0));
        place.put(&mut cache, "large", 3000, &config);
        assert!(
            !place.has(&mut cache, "large", 0),
            "one file does not push out all others"
        );
    }

    #[test]
    fn a_file_is_looked_at_once_a_turn() {
        let (place, mut cache) = (Place::new("turns"), Cache::new(Arc::new(Mounts::open())));
        place.put(&mut cache, "a", 10, &ServerConfig::default());
        fs::remove_file(place.path.join("a")).unwrap();
        assert!(place.has(&mut cache, "a", 0), "it was checked in this turn");
        assert!(!place.has(&mut cache, "a", 1));
        assert_eq!((cache.bytes, cache.entries.len()), (0, 0));
    }

    #[test]
    fn a_file_that_has_just_changed_is_not_kept() {
        let (mut place, mut cache) = (Place::new("fresh"), Cache::new(Arc::new(Mounts::open())));
        place.clock = Clock::at(SystemTime::now());
        place.put(&mut cache, "a", 10, &ServerConfig::default());
        assert!(!place.has(&mut cache, "a", 0));
    }
}
