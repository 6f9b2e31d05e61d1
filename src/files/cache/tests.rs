use std::fs::{self, File};

use tempfile::TempDir;

use super::*;
use crate::files::names::guess_type::FileType;
use crate::files::names::root::Symlinks;
use crate::files::representation::{Content, Description, MayWait};
use crate::handler::BaseHttpRequestHandler;
use crate::handler::server_info::ServerInfo;
use crate::http::status::HttpStatus;

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
        let config = ServerConfig::default().with(|config| config.tuning.cache_bytes = cache_bytes);
        let root = Root::named(directory.path(), Symlinks::Inside).unwrap();
        Self {
            directory,
            cache: Cache::new(),
            root,
            clock: Clock::new(),
            server: ServerInfo::new(&NoHandler, config, &[]),
        }
    }

    fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.directory.path().join(name), content).unwrap();
    }

    /// Serves a file that is not kept; returns whether it is kept from now on.
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
        let content = Content::read(&file, size, size, MayWait::ALWAYS).unwrap();
        let description = Description {
            status: HttpStatus::OK,
            content_type: FileType::given("text/plain").fields(false).unwrap(),
            coding: None,
            policy: Arc::clone(server.file_policy()),
        };
        let made = Representation::new(server, clock, &identity, description, &content, None);
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

    /// Lets `time` pass, and reads another request.
    fn later(&mut self, time: Duration) {
        self.clock.instant += time;
        self.clock.begin_epoch();
    }
}

#[test]
fn the_cache_stays_within_its_bounds_and_removes_the_oldest_first() {
    let mut site = CachedSite::new(20_000);
    let mut kept = 0;
    for number in 0..50 {
        site.write(&number.to_string(), &[b'x'; 700]);
        kept += u32::from(site.keep(&number.to_string()));
        site.later(RECENT / 16);
        assert!(site.has("0"), "it is asked for again and again");
        let all: usize = site
            .cache
            .entries
            .iter()
            .map(|(key, entry)| entry.cost(key))
            .sum();
        assert_eq!(site.cache.bytes, all);
        assert!(all <= 20_000);
    }
    assert!((12..40).contains(&kept), "{kept} of 50");
    assert!(!site.has("1"));
    site.write("large", &[b'x'; 3000]);
    assert!(!site.keep("large"), "one file does not push out all others");
}

#[test]
fn a_reply_that_was_used_lately_is_not_replaced() {
    let mut site = CachedSite::new(20_000);
    for number in 0..20 {
        site.write(&number.to_string(), &[]);
    }
    let kept = (0..20)
        .filter(|number| site.keep(&number.to_string()))
        .count();
    assert!((5..20).contains(&kept), "{kept} of 20");
    assert!(!site.keep("19"));
    site.later(RECENT);
    assert!(site.keep("19") && !site.has("0"));
}

#[test]
fn a_change_is_seen_in_the_next_epoch() {
    let mut site = CachedSite::new(1 << 20);
    site.write("a", b"old");
    assert!(site.keep("a"));
    site.later(Duration::ZERO);
    assert!(site.has("a"));
    site.write("a", b"new");
    assert!(site.has("a"), "the file system was asked in this epoch");
    site.later(Duration::ZERO);
    assert!(!site.has("a"));
    assert_eq!((site.cache.bytes, site.cache.entries.len()), (0, 0));
    assert!(!site.keep("a"), "it has just changed");
    site.later(Duration::from_secs(1));
    assert!(site.keep("a"));
}

#[test]
fn a_file_that_is_replaced_by_a_link_before_it_is_watched_is_not_kept() {
    let mut site = CachedSite::new(1 << 20);
    site.write("f", b"1");
    let file = File::open(site.directory.path().join("f")).unwrap();
    let elsewhere = tempfile::tempdir_in(site.directory.path().parent().unwrap()).unwrap();
    let moved = elsewhere.path().join("f");
    fs::rename(site.directory.path().join("f"), &moved).unwrap();
    std::os::unix::fs::symlink(&moved, site.directory.path().join("f")).unwrap();
    let CachedSite {
        root, cache, clock, ..
    } = &mut site;
    let watched = cache.watcher.watch_file(root, b"f", &[], &file, clock);
    assert!(watched.is_none());
}

#[test]
fn a_neighbour_that_changes_drops_nothing() {
    let mut site = CachedSite::new(1 << 20);
    site.write("a", b"old");
    assert!(site.keep("a"));
    for _ in 0..100 {
        site.write("log", b"a line");
        site.later(Duration::ZERO);
        assert!(site.has("a"));
    }
}

#[test]
fn a_watch_ends_with_the_last_entry_that_needs_it() {
    let mut site = CachedSite::new(1 << 20);
    for name in ["a", "b"] {
        site.write(name, b"");
        assert!(site.keep(name));
    }
    let watches = |site: &mut CachedSite| {
        site.later(Duration::ZERO);
        site.cache.watcher.changes.check(site.clock.epoch());
        site.cache.watcher.changes.in_use()
    };
    let both = watches(&mut site);
    site.cache.remove(b"a");
    assert_eq!(watches(&mut site), both - 1);
}
