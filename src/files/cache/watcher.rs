//! Watching all that a kept reply depends on: the way to a file, the file itself, and names that are missing or listed.
//!
//! Invariant: *watch, then look again.* Each file and directory is looked up again by its name after it was watched, and the reply
//! is kept only if the name still leads to it: a change between the first look and the watch would not be reported.

use std::collections::HashMap;
use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use memchr::{memchr, memrchr};
use rustix::fs::{AtFlags, FileType, Stat, fstat, statat};
use rustix::io::Errno;

use super::changes::{Aspect, Changes, Dependency, FILE, NAMES, ON_THE_WAY};
use crate::files::identity::Identity;
use crate::files::look_up::FoundSibling;
use crate::files::names::mounts::{FileSystem, Mounts};
use crate::files::names::root::Root;
use crate::files::names::walk::PathStep;
use crate::handler::clock::Clock;

/// Time after a failed attempt to watch a directory until the next attempt.
const RETRY: Duration = Duration::from_secs(2);

/// The dependencies of a reply that is about to be made; all of them are watched already.
#[derive(Debug)]
pub(in crate::files) struct Watched {
    pub(super) way: Arc<[Dependency]>,
    pub(super) own: Vec<Dependency>,
    pub(super) path: Box<[u8]>,
    /// The stat of the file at the path, after it was watched.
    pub(in crate::files) stat: Stat,
}

/// The directories on the way to a directory that has the files of kept replies.
#[derive(Debug)]
enum Way {
    Watched(Arc<[Dependency]>),
    /// Could not be watched, and is not tried again before this time.
    Unwatched(Instant),
}

/// Finds out what replies depend on, and watches it.
#[derive(Debug)]
pub(in crate::files) struct Watcher {
    pub(super) changes: Changes,
    /// By the path of the directory.
    ways: HashMap<Box<[u8]>, Way>,
    /// At this number of ways those are forgotten that no entry uses.
    most_ways: usize,
    /// The length of the longest path of a way so far.
    longest_way: usize,
    /// Only files on local file systems are watched.
    pub(in crate::files) mounts: Mounts,
    /// The count of changes of mounts at which these were read.
    mounts_read: u64,
    /// Whether a call may wait for a file system.
    pub(in crate::files) may_wait: bool,
    scratch: Vec<u8>,
}

impl Watcher {
    /// Makes a watcher that watches nothing yet.
    pub(super) fn new(changes: Changes) -> Self {
        Self {
            mounts: changes.read_mounts(),
            mounts_read: changes.mounts,
            changes,
            ways: HashMap::new(),
            most_ways: 64,
            longest_way: 0,
            may_wait: false,
            scratch: Vec::new(),
        }
    }

    /// Watches the file at `path`, which was opened as `file`, and the way to it. For the index page of a directory, the paths in
    /// `absent` must still not exist. To be called before the content is read. Returns `None` if the file cannot be watched.
    pub(in crate::files) fn watch_file(
        &mut self,
        root: &Root,
        path: &[u8],
        absent: &[Vec<u8>],
        file: impl AsFd,
        clock: &Clock,
    ) -> Option<Watched> {
        // A single file may be a symbolic link, which is then a step on the way.
        let directory = if root.single().is_some() {
            path
        } else {
            parent(path)
        };
        let way = self.way(root, directory, clock)?;
        let mut own = vec![Dependency::new(
            self.changes.watch(&file, FILE)?,
            Aspect::Itself,
        )];
        if !absent.is_empty() {
            own.push(way.last()?.also(Aspect::Names));
        }
        self.look_again(root, path, absent, &file, (way, own))
    }

    /// Watches a sibling of the file that is `watched`. Returns whether the sibling is still as it was found, and its changes are
    /// reported: a file of another file system may be mounted there.
    pub(in crate::files) fn watch_sibling(
        &mut self,
        watched: &mut Watched,
        root: &Root,
        sibling: &FoundSibling,
    ) -> bool {
        let Some(watch) = self.changes.watch(&sibling.file, FILE) else {
            return false;
        };
        watched.own.push(Dependency::new(watch, Aspect::Itself));
        let found = Identity::from(&sibling.stat);
        self.stat(root, &sibling.path)
            .is_ok_and(|stat| Identity::from(&stat) == found)
            && self.is_local(&sibling.file)
            && !self.has_several_inodes(&sibling.stat, &sibling.file)
    }

    /// Watches the way to the directory at `path`, which was opened as `directory`, and the names in it. After that the caller has to
    /// look at the listed names again.
    pub(in crate::files) fn watch_directory(
        &mut self,
        root: &Root,
        path: &[u8],
        absent: &[Vec<u8>],
        directory: impl AsFd,
        clock: &Clock,
    ) -> Option<Watched> {
        let way = self.way(root, path, clock)?;
        let own = vec![way.last()?.also(Aspect::Names)];
        self.look_again(root, path, absent, &directory, (way, own))
    }

    /// Watches the files and subdirectories that were `listed` of `directory`; the time of a subdirectory changes with the names in
    /// it. Returns whether each is still as it was listed.
    pub(in crate::files) fn watch_listed(
        &mut self,
        watched: &mut Watched,
        directory: BorrowedFd<'_>,
        listed: &[(Vec<u8>, Identity)],
    ) -> bool {
        listed.iter().all(|(name, listed)| {
            let Some(watch) = self.changes.watch_name(directory, name, NAMES | FILE) else {
                return false;
            };
            let aspects = [Aspect::Itself, Aspect::Names];
            let depends = aspects.map(|aspect| Dependency::new(Arc::clone(&watch), aspect));
            watched.own.extend(depends);
            let stat = statat(directory, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW);
            stat.is_ok_and(|stat| {
                Identity::from(&stat) == *listed && !self.has_several_inodes(&stat, directory)
            })
        })
    }

    /// Finds the deepest directory on the way to `path`, in which the next name is missing. Returns the way to that directory, and
    /// the dependency on the names in it.
    pub(super) fn way_to_missing(
        &mut self,
        root: &Root,
        path: &[u8],
        clock: &Clock,
    ) -> Option<(Arc<[Dependency]>, Dependency)> {
        // Most missing paths begin with a known directory, or their first name is missing.
        let mut directory = parent(path);
        while !directory.is_empty() && !self.is_known(directory) {
            directory = parent(directory);
        }
        loop {
            let way = self.way(root, directory, clock)?;
            let names = way.last()?.also(Aspect::Names);
            let start = directory.len() + usize::from(!directory.is_empty());
            let rest = path.get(start..)?;
            let end = memchr(b'/', rest).map_or(path.len(), |length| start + length);
            let next = path.get(..end)?;
            if self.is_missing(root, next) {
                return Some((way, names));
            } else if next.len() == path.len() {
                return None;
            }
            directory = next;
        }
    }

    /// Returns whether the way to `directory` was looked at before. A path that is longer than all known ones is not hashed: it may
    /// have thousands of segments, and a client can send another one each time.
    fn is_known(&self, directory: &[u8]) -> bool {
        directory.len() <= self.longest_way && self.ways.contains_key(directory)
    }

    /// Returns the dependencies of the way to `directory`; the directory itself is the last one.
    fn way(&mut self, root: &Root, directory: &[u8], clock: &Clock) -> Option<Arc<[Dependency]>> {
        match self.ways.get(directory) {
            Some(Way::Watched(way)) if way.iter().all(Dependency::is_unchanged) => {
                return Some(Arc::clone(way));
            }
            Some(Way::Unwatched(until)) if clock.instant < *until => return None,
            _ => {}
        }
        self.forget_unused_ways();
        let watched = self.watch_way(root, directory);
        let way = match &watched {
            Some(way) => Way::Watched(Arc::clone(way)),
            None => Way::Unwatched(clock.instant + RETRY),
        };
        self.longest_way = self.longest_way.max(directory.len());
        self.ways.insert(directory.into(), way);
        watched
    }

    fn watch_way(&mut self, root: &Root, directory: &[u8]) -> Option<Arc<[Dependency]>> {
        let (steps, end) = self.walk(root, directory)?;
        let mut way: Vec<Dependency> = Vec::with_capacity(steps.len());
        for (number, step) in steps.iter().enumerate() {
            if !self.is_local(step) {
                return None;
            }
            let events = if number == end { NAMES } else { ON_THE_WAY };
            let watch = self.changes.watch(step, events)?;
            if let Some((parent, name)) = &step.found {
                self.changes
                    .note_name(way.get(*parent)?.watch(), name, &watch);
            }
            way.push(Dependency::new(watch, Aspect::Itself));
        }
        let (again, _) = self.walk(root, directory)?;
        let ids = |steps: &[PathStep]| steps.iter().map(PathStep::id).collect::<Vec<_>>();
        let is_same = ids(&steps) == ids(&again);
        // The directory that the way leads to becomes the last one.
        let last = way.len() - 1;
        way.swap(end, last);
        is_same.then(|| way.into())
    }

    fn walk(&self, root: &Root, directory: &[u8]) -> Option<(Vec<PathStep>, usize)> {
        root.walk(directory, self.mounts_unless_it_may_wait()).ok()
    }

    /// Returns the stat of the file at `path`, as [`Root::stat`] does.
    pub(super) fn stat(&mut self, root: &Root, path: &[u8]) -> io::Result<Stat> {
        let mut scratch = mem::take(&mut self.scratch);
        let stat = root.stat(path, &mut scratch, self.mounts_unless_it_may_wait());
        self.scratch = scratch;
        stat
    }

    fn mounts_unless_it_may_wait(&self) -> Option<&Mounts> {
        (!self.may_wait).then_some(&self.mounts)
    }

    /// Forgets the ways that no entry uses, if there are many.
    fn forget_unused_ways(&mut self) {
        if self.ways.len() >= self.most_ways {
            self.ways
                .retain(|_, way| matches!(way, Way::Watched(way) if Arc::strong_count(way) > 1));
            self.most_ways = 64 + 2 * self.ways.len();
        }
    }

    /// Looks `path` up again after all is watched. It must lead to the `opened` file, on a local file system, and the paths in
    /// `absent` must not exist.
    fn look_again(
        &mut self,
        root: &Root,
        path: &[u8],
        absent: &[Vec<u8>],
        opened: impl AsFd,
        (way, own): (Arc<[Dependency]>, Vec<Dependency>),
    ) -> Option<Watched> {
        let before = fstat(&opened).ok()?;
        let stat = self.stat(root, path).ok()?;
        let is_same = Identity::from(&stat).is_same_file(&Identity::from(&before))
            && self.is_local(&opened)
            && !self.has_several_inodes(&stat, &opened)
            && absent.iter().all(|name| self.is_missing(root, name));
        let path = path.into();
        is_same.then(|| Watched {
            way,
            own,
            path,
            stat,
        })
    }

    fn is_missing(&mut self, root: &Root, path: &[u8]) -> bool {
        let stat = self.stat(root, path);
        let errno = stat.err().as_ref().and_then(Errno::from_io_error);
        matches!(errno, Some(Errno::NOENT | Errno::NOTDIR))
    }

    /// Notes the changes until now, once in each epoch. Returns whether mounts have changed since the last call.
    pub(in crate::files) fn check(&mut self, clock: &Clock) -> bool {
        self.changes.check(clock.epoch());
        let have_changed = self.changes.mounts != self.mounts_read;
        if have_changed {
            self.mounts_read = self.changes.mounts;
            self.mounts = self.changes.read_mounts();
        }
        have_changed
    }

    /// Returns the file system of `file`. If its mount is not known, the file system is asked if a call may wait, and counts as not local
    /// otherwise.
    pub(in crate::files) fn file_system(&self, file: impl AsFd) -> FileSystem {
        match self.mounts.file_system(&file) {
            Some(file_system) => file_system,
            None if self.may_wait => FileSystem::ask(file),
            None => FileSystem::Other,
        }
    }

    pub(in crate::files) fn is_local(&self, file: impl AsFd) -> bool {
        self.file_system(file).is_local()
    }

    /// Returns whether the file may have another inode when it is opened next, which the watch does not report: overlayfs makes an
    /// inode for each name of a file that has several names in the lower layer.
    fn has_several_inodes(&self, stat: &Stat, file: impl AsFd) -> bool {
        let is_regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        is_regular && stat.st_nlink > 1 && self.file_system(file) == FileSystem::Overlay
    }
}

fn parent(path: &[u8]) -> &[u8] {
    path.get(..memrchr(b'/', path).unwrap_or(0))
        .unwrap_or_default()
}
