use std::fs::{self, File};

use tempfile::TempDir;

use super::*;
use crate::files::names::guess_type::content_type;
use crate::files::names::root::Symlinks;
use crate::files::representation::Content;
use crate::handler::BaseHttpRequestHandler;
use crate::handler::server_info::ServerInfo;
use crate::wire::file_range::SharedFile;

struct NoHandler;

impl BaseHttpRequestHandler for NoHandler {}

/// A directory with a cache, and a clock that the test moves.
struct CachedSite {
    directory: TempDir,
    root: Root,
    cache: Cache,
    clock: Clock,
    server: ServerInfo,
}

impl CachedSite {
    fn new(cache_bytes: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = ServerConfig {
            cache_bytes,
            ..ServerConfig::default()
        };
        Self {
            root: Root::named(directory.path(), Symlinks::Inside).unwrap(),
            directory,
            cache: Cache::new(),
            clock: Clock::new(),
            server: ServerInfo::new(&NoHandler, config, &[]),
        }
    }

    fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.directory.path().join(name), content).unwrap();
    }

    /// Serves a file that is not kept; says whether it is kept from now on.
    fn keep(&mut self, name: &str) -> bool {
        let Self {
            root,
            cache,
            clock,
            server,
            ..
        } = self;
        let (key, config) = (name.as_bytes(), server.config());
        let file = File::open(self.directory.path().join(name)).unwrap();
        let size = file.metadata().unwrap().len();
        if !cache.admits(key, size, clock, config) {
            return false;
        }
        let Some(watched) = cache.watcher.watch_file(root, key, &[], &file, clock) else {
            return false;
        };
        let identity = Identity::from(&watched.stat);
        let shared = Arc::new(SharedFile::from(file));
        let content = Content::read(&shared, size, true).unwrap();
        let kind = content_type("text/plain").unwrap();
        let made = Representation::new(server, clock, &identity, &kind, &content, &shared);
        cache.put(
            key,
            watched,
            CachedReply::File(Arc::new(made.unwrap())),
            clock,
            config,
        );
        self.has(name)
    }

    fn has(&mut self, name: &str) -> bool {
        let Self {
            root, cache, clock, ..
        } = self;
        cache.find(name.as_bytes(), clock, root, |_| ()).is_some()
    }

    /// Time goes by, and another request is read.
    fn later(&mut self, time: Duration) {
        self.clock.instant += time;
        self.clock.begin_epoch();
    }
}

#[test]
fn what_is_kept_stays_within_its_bounds_and_the_oldest_goes_first() {
    let mut place = CachedSite::new(20_000);
    let mut kept = 0;
    for number in 0..50 {
        place.write(&number.to_string(), &[b'x'; 700]);
        kept += u32::from(place.keep(&number.to_string()));
        place.later(LATELY / 16);
        assert!(place.has("0"), "it is asked for again and again");
        let all: usize = place
            .cache
            .entries
            .iter()
            .map(|(key, entry)| entry.cost(key))
            .sum();
        assert_eq!(place.cache.bytes, all);
        assert!(all <= 20_000);
    }
    assert!((12..40).contains(&kept), "{kept} of 50");
    assert!(!place.has("1"));
    place.write("large", &[b'x'; 3000]);
    assert!(
        !place.keep("large"),
        "one file does not push out all others"
    );
}

#[test]
fn what_was_asked_for_lately_keeps_its_place() {
    let mut place = CachedSite::new(20_000);
    for number in 0..20 {
        place.write(&number.to_string(), &[]);
    }
    let kept = (0..20)
        .filter(|number| place.keep(&number.to_string()))
        .count();
    assert!((5..20).contains(&kept), "{kept} of 20");
    assert!(!place.keep("19"));
    place.later(LATELY);
    assert!(place.keep("19") && !place.has("0"));
}

#[test]
fn a_change_is_seen_in_the_next_epoch() {
    let mut place = CachedSite::new(1 << 20);
    place.write("a", b"old");
    assert!(place.keep("a"));
    place.later(Duration::ZERO);
    assert!(place.has("a"));
    place.write("a", b"new");
    assert!(place.has("a"), "the file system was asked in this epoch");
    place.later(Duration::ZERO);
    assert!(!place.has("a"));
    assert_eq!((place.cache.bytes, place.cache.entries.len()), (0, 0));
    assert!(!place.keep("a"), "it has just changed");
    place.later(Duration::from_secs(1));
    assert!(place.keep("a"));
}

#[test]
fn a_link_that_takes_the_place_of_a_file_before_it_is_watched_is_not_kept() {
    let mut place = CachedSite::new(1 << 20);
    place.write("f", b"1");
    let file = File::open(place.directory.path().join("f")).unwrap();
    let elsewhere = tempfile::tempdir_in(place.directory.path().parent().unwrap()).unwrap();
    let moved = elsewhere.path().join("f");
    fs::rename(place.directory.path().join("f"), &moved).unwrap();
    std::os::unix::fs::symlink(&moved, place.directory.path().join("f")).unwrap();
    let CachedSite {
        root, cache, clock, ..
    } = &mut place;
    let watched = cache.watcher.watch_file(root, b"f", &[], &file, clock);
    assert!(watched.is_none());
}

#[test]
fn a_neighbour_that_changes_drops_nothing() {
    let mut place = CachedSite::new(1 << 20);
    place.write("a", b"old");
    assert!(place.keep("a"));
    for _ in 0..100 {
        place.write("log", b"a line");
        place.later(Duration::ZERO);
        assert!(place.has("a"));
    }
}

#[test]
fn a_watch_ends_with_the_last_entry_that_needs_it() {
    let mut place = CachedSite::new(1 << 20);
    for name in ["a", "b"] {
        place.write(name, b"");
        assert!(place.keep(name));
    }
    let watches = |place: &mut CachedSite| {
        place.later(Duration::ZERO);
        place.cache.watcher.changes.check(place.clock.epoch());
        place.cache.watcher.changes.in_use()
    };
    let both = watches(&mut place);
    place.cache.remove(b"a");
    assert_eq!(watches(&mut place), both - 1);
}
