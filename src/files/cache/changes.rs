//! What the kernel reports of changes: events of watched files and directories (inotify), and of mounts.
//!
//! Invariant: the kernel queues an event before the system call that caused it returns. So what was watched and has no event
//! by the time of a [`check`](Changes::check) has not changed by then, whichever process could have changed it.

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

/// What is reported of a file: its content, its permissions, times and links, and its name. A write through any of its names
/// is reported here, and so is a further link, which its directory would not tell of.
pub(super) const FILE: WatchFlags = ITSELF.union(WatchFlags::MODIFY);
/// What is reported of a directory or a symbolic link on the way to something. Of a directory that is deleted while a program has
/// it open, only the directory above tells.
pub(super) const ON_THE_WAY: WatchFlags = ITSELF.union(WatchFlags::DELETE);
const ITSELF: WatchFlags = WatchFlags::ATTRIB
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::DELETE_SELF);
/// The same, and the names in a directory.
pub(super) const NAMES: WatchFlags = ITSELF
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO);

/// Bytes of events that are read at a time.
const BATCH: usize = 4096;
/// Where the limit on watches cannot be read, it is this (inotify(7)).
const LEAST_WATCHES: usize = 8192;

/// The watches of all loops: the limit is for the user, and so for all of them together.
static IN_USE: AtomicUsize = AtomicUsize::new(0);

/// The reports that one loop gets.
pub(super) struct Changes {
    /// `None` where the kernel reports nothing to us: then nothing can be kept.
    sources: Option<Sources>,
    watches: HashMap<i32, Weak<Watch>>,
    /// The watches of directories by the one above and their name in it.
    names: HashMap<(i32, Box<[u8]>), i32>,
    /// At most so many watches: the user has other programs that watch files.
    limit: usize,
    /// The epoch of the last check.
    epoch: u64,
    /// Grows with every change.
    pub(super) generation: u64,
    /// Grows with every change of mounts.
    pub(super) mounts: u64,
}

struct Sources {
    inotify: Arc<OwnedFd>,
    mountinfo: File,
}

impl Changes {
    /// Opens what changes are reported by; to be called before the process is confined.
    pub(super) fn open() -> Self {
        let limit = fs::read_to_string("/proc/sys/fs/inotify/max_user_watches");
        let limit = limit.ok().and_then(|text| text.trim().parse().ok());
        Self {
            sources: Sources::open().ok(),
            watches: HashMap::new(),
            names: HashMap::new(),
            limit: limit.unwrap_or(LEAST_WATCHES) / 2,
            epoch: 0,
            generation: 0,
            mounts: 0,
        }
    }

    /// Watches what `fd` refers to, beside what was watched of it before. `None` where that is not possible: no watches are
    /// left, or it may not be read.
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

    /// Notes that what `child` watches has this `name` in the directory that `parent` watches.
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

    /// How many watches this loop has: each of them holds on to the descriptor.
    #[cfg(test)]
    pub(super) fn in_use(&self) -> usize {
        let sources = self.sources.as_ref();
        sources.map_or(0, |sources| Arc::strong_count(&sources.inotify) - 1)
    }

    /// Takes in what has changed until now, once in each `epoch`.
    #[inline]
    pub(super) fn check(&mut self, epoch: u64) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.take_in();
        }
    }

    fn take_in(&mut self) {
        let Some(Sources { inotify, mountinfo }) = &self.sources else {
            return;
        };
        // One system call asks for both.
        let mut sources = [
            PollFd::new(inotify, PollFlags::IN),
            PollFd::new(mountinfo, PollFlags::PRI),
        ];
        let polled = poll(&mut sources, Some(&Timespec::default()));
        let [inotify, mountinfo] = sources.map(|source| !source.revents().is_empty());
        match polled {
            Ok(0) => return,
            // Another mount may have come over any directory, or gone. It is told once (proc_pid_mountinfo(5)).
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

    /// Events were lost, or there is none for what has happened.
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

/// A file, directory or symbolic link that the kernel reports changes of, until the last one drops it.
#[derive(Debug)]
pub(super) struct Watch {
    number: i32,
    inotify: Arc<OwnedFd>,
    /// How often it has changed itself,
    itself: AtomicU32,
    /// and how often the names in it have.
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
        // A failure means that what was watched is gone.
        let _ = remove_watch(&self.inotify, self.number);
    }
}

/// What a kept reply depends on.
#[derive(Debug)]
pub(super) struct Dependency {
    watch: Arc<Watch>,
    aspect: Aspect,
    /// How often it had changed when the reply was made.
    seen: u32,
}

/// What of a watched directory a kept reply depends on.
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

    /// The same watch, of which something else matters.
    pub(super) fn also(&self, aspect: Aspect) -> Self {
        Self::new(Arc::clone(&self.watch), aspect)
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
