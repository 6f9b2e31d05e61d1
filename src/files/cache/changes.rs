//! Changes that the kernel reports: of watched files and directories (inotify), and of mounts.
//!
//! Invariant: the kernel queues an event before the system call that caused it returns. So a watched file without an event at the
//! time of a [`check`](Changes::check) has not been changed by any process before that.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{
    CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init, remove_watch,
};

use crate::files::names::mounts::Mounts;

/// Events of a file: its content, its permissions, times and links, and its name. A write through any of its names is reported,
/// and so is a new hard link, which is no event of the file's own directory.
pub(super) const FILE: WatchFlags = ITSELF.union(WatchFlags::MODIFY);
/// Events of a directory or a symbolic link on the way to a file. If a directory is deleted while a program has it open, only the
/// parent directory reports that.
pub(super) const ON_THE_WAY: WatchFlags = ITSELF.union(WatchFlags::DELETE);
const ITSELF: WatchFlags = WatchFlags::ATTRIB
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::DELETE_SELF);
/// Events of a directory and of the names in it.
pub(super) const NAMES: WatchFlags = ITSELF
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO);

/// Bytes of events that are read at a time.
const BATCH: usize = 4096;
/// The limit on watches if it cannot be read (inotify(7)).
const LEAST_WATCHES: usize = 8192;

/// Watches in use by all loops of this process: the limit is for the user, so for all loops together.
static IN_USE: AtomicUsize = AtomicUsize::new(0);

/// The changes that are reported to one loop.
pub(super) struct Changes {
    /// `None` if the kernel reports no changes: then nothing is kept.
    sources: Option<Sources>,
    watches: HashMap<i32, Weak<Watch>>,
    /// The numbers of directories' watches, by the number of the parent's watch and the name in the parent.
    names: HashMap<(i32, Box<[u8]>), i32>,
    /// The most watches that are used: the user has other programs that watch files.
    limit: usize,
    /// The epoch of the last check.
    epoch: u64,
    /// Counts changes.
    pub(super) generation: u64,
    /// Counts changes of mounts.
    pub(super) mounts: u64,
}

struct Sources {
    inotify: Arc<OwnedFd>,
    mountinfo: File,
}

impl Changes {
    /// Opens the sources of reports. To be called before the process is confined.
    pub(super) fn open() -> Self {
        let limit = fs::read_to_string("/proc/sys/fs/inotify/max_user_watches");
        let limit = limit.ok().and_then(|text| text.trim().parse().ok());
        Self {
            sources: Sources::open().ok(),
            limit: limit.unwrap_or(LEAST_WATCHES) / 2,
            ..Self::unreported()
        }
    }

    /// Has no sources, so nothing can be kept.
    pub(super) fn unreported() -> Self {
        Self {
            sources: None,
            watches: HashMap::new(),
            names: HashMap::new(),
            limit: 0,
            epoch: 0,
            generation: 0,
            mounts: 0,
        }
    }

    /// Returns the mounts of now; none if their changes are not reported.
    pub(super) fn read_mounts(&self) -> Mounts {
        let sources = self.sources.as_ref();
        let mounts = sources.map(|sources| Mounts::read(&sources.mountinfo));
        mounts.and_then(Result::ok).unwrap_or_default()
    }

    /// Watches the file that `fd` refers to, for these `events` and those of earlier calls. Returns `None` if no watches are left or
    /// the file must not be read.
    pub(super) fn watch(&mut self, fd: impl AsFd, events: WatchFlags) -> Option<Arc<Watch>> {
        let fd = fd.as_fd().as_raw_fd();
        self.watch_path(format!("/proc/self/fd/{fd}"), events)
    }

    /// Watches the file called `name` in `directory`.
    pub(super) fn watch_name(
        &mut self,
        directory: BorrowedFd<'_>,
        name: &[u8],
        events: WatchFlags,
    ) -> Option<Arc<Watch>> {
        let mut path = format!("/proc/self/fd/{}/", directory.as_raw_fd()).into_bytes();
        path.extend_from_slice(name);
        self.watch_path(path.as_slice(), events | WatchFlags::DONT_FOLLOW)
    }

    fn watch_path(
        &mut self,
        path: impl rustix::path::Arg,
        events: WatchFlags,
    ) -> Option<Arc<Watch>> {
        if self.is_full() {
            return None;
        }
        let inotify = &self.sources.as_ref()?.inotify;
        let number = add_watch(inotify, path, events | WatchFlags::MASK_ADD).ok()?;
        let known = self.watches.get(&number).and_then(Weak::upgrade);
        Some(known.unwrap_or_else(|| {
            IN_USE.fetch_add(1, Ordering::Relaxed);
            let watch = Arc::new(Watch {
                number,
                inotify: Arc::clone(inotify),
                itself: AtomicU32::new(0),
                names: AtomicU32::new(0),
            });
            self.watches.insert(number, Arc::downgrade(&watch));
            watch
        }))
    }

    /// Notes that the directory of `child` is called `name` in the directory of `parent`.
    pub(super) fn note_name(&mut self, parent: &Watch, name: &[u8], child: &Watch) {
        if self.names.len() > 64 + 2 * self.watches.len() {
            let watches = &self.watches;
            self.names.retain(|_, child| watches.contains_key(child));
        }
        self.names
            .insert((parent.number, name.into()), child.number);
    }

    pub(super) fn is_full(&self) -> bool {
        self.sources.is_none() || IN_USE.load(Ordering::Relaxed) >= self.limit
    }

    /// Returns the number of watches of this loop: each of them has a reference to the descriptor.
    pub(super) fn in_use(&self) -> usize {
        let sources = self.sources.as_ref();
        sources.map_or(0, |sources| Arc::strong_count(&sources.inotify) - 1)
    }

    /// Returns the descriptor that is readable when a watch has events.
    pub(super) fn event_source(&self) -> Option<BorrowedFd<'_>> {
        self.sources.as_ref().map(|sources| sources.inotify.as_fd())
    }

    /// Reads the changes until now, once in each `epoch`.
    #[inline]
    pub(super) fn check(&mut self, epoch: u64) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.read_changes();
        }
    }

    /// Reads the changes until now.
    pub(super) fn read_changes(&mut self) {
        let Some(Sources { inotify, mountinfo }) = &self.sources else {
            return;
        };
        // One system call asks both sources.
        let mut sources = [
            PollFd::new(inotify, PollFlags::IN),
            PollFd::new(mountinfo, PollFlags::PRI),
        ];
        let polled = poll(&mut sources, Some(&Timespec::default()));
        let [inotify, mountinfo] = sources.map(|source| !source.revents().is_empty());
        match polled {
            Ok(0) => return,
            // Any directory may have been covered by a mount, or uncovered. Each change is reported once (proc_pid_mountinfo(5)).
            Ok(_) if mountinfo => {
                self.mounts += 1;
                self.all_changed();
            }
            Ok(_) => {}
            Err(_) => self.all_changed(),
        }
        if inotify {
            self.read_events();
        }
    }

    fn read_events(&mut self) {
        let Some(inotify) = self
            .sources
            .as_ref()
            .map(|sources| Arc::clone(&sources.inotify))
        else {
            return;
        };
        let mut buffer = [MaybeUninit::uninit(); BATCH];
        let mut reader = Reader::new(&*inotify, &mut buffer);
        while let Ok(event) = reader.next() {
            let (flags, number) = (event.events(), event.wd());
            if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
                self.all_changed();
                continue;
            }
            let watch = |number| self.watches.get(&number).and_then(Weak::upgrade);
            if let Some(watch) = watch(number) {
                watch.note(flags, event.file_name().is_some());
                self.generation += 1;
            }
            if flags.contains(ReadFlags::DELETE | ReadFlags::ISDIR)
                && let Some(name) = event.file_name()
                && let Some(child) = self.names.get(&(number, name.to_bytes().into()))
                && let Some(deleted) = watch(*child)
            {
                deleted.note(flags, false);
            }
            if flags.contains(ReadFlags::IGNORED) {
                self.watches.remove(&number);
            }
        }
    }

    /// Counts a change of everything: events were lost, or a change has no event.
    fn all_changed(&mut self) {
        self.generation += 1;
        for watch in self.watches.values().filter_map(Weak::upgrade) {
            for aspect in [&watch.itself, &watch.names] {
                aspect.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl Sources {
    fn open() -> io::Result<Self> {
        let mountinfo = File::open("/proc/self/mountinfo")?;
        let inotify = Arc::new(init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?);
        Ok(Self { inotify, mountinfo })
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes")
            .field("watches", &self.watches.len())
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

/// A file, directory or symbolic link that is watched, until the last reference is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    number: i32,
    inotify: Arc<OwnedFd>,
    /// Counts changes of the file or directory itself.
    itself: AtomicU32,
    /// Counts changes of the names in the directory.
    names: AtomicU32,
}

impl Watch {
    fn note(&self, flags: ReadFlags, is_of_name: bool) {
        const NAME: ReadFlags = ReadFlags::CREATE
            .union(ReadFlags::DELETE)
            .union(ReadFlags::MOVED_FROM)
            .union(ReadFlags::MOVED_TO);
        if !is_of_name {
            self.itself.fetch_add(1, Ordering::Relaxed);
        } else if flags.intersects(NAME) {
            self.names.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        IN_USE.fetch_sub(1, Ordering::Relaxed);
        // A failure means that the file is gone, and the watch with it.
        let _ = remove_watch(&self.inotify, self.number);
    }
}

/// A watched file or directory that a kept reply depends on.
#[derive(Debug)]
pub(super) struct Dependency {
    watch: Arc<Watch>,
    aspect: Aspect,
    /// The count of changes when the reply was made.
    seen: u32,
}

/// Which changes of a watched file or directory a kept reply depends on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Aspect {
    Itself,
    Names,
}

impl Dependency {
    pub(super) fn new(watch: Arc<Watch>, aspect: Aspect) -> Self {
        let seen = watch.counter(aspect).load(Ordering::Relaxed);
        Self {
            watch,
            aspect,
            seen,
        }
    }

    pub(super) fn watch(&self) -> &Watch {
        &self.watch
    }

    /// Returns a dependency on another aspect of the same watch.
    pub(super) fn also(&self, aspect: Aspect) -> Self {
        Self::new(Arc::clone(&self.watch), aspect)
    }

    /// Returns how often the dependency has changed.
    pub(super) fn changes(&self) -> u64 {
        self.watch
            .counter(self.aspect)
            .load(Ordering::Relaxed)
            .into()
    }

    pub(super) fn is_unchanged(&self) -> bool {
        self.watch.counter(self.aspect).load(Ordering::Relaxed) == self.seen
    }
}

impl Watch {
    fn counter(&self, aspect: Aspect) -> &AtomicU32 {
        match aspect {
            Aspect::Itself => &self.itself,
            Aspect::Names => &self.names,
        }
    }
}
