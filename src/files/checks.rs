//! Whether a file that is kept is still what it was: by its name, or, where many are asked for, by a descriptor.
//!
//! A directory's times change with every name in it. So while one is the same, to the nanosecond, its names lead to the same
//! files, and whether one of these has changed, its own descriptor tells: for a third of what a walk along its path costs.
//! Each directory is looked at once a turn, by its name.
//!
//! And once a turn the kernel is asked whether anything was mounted, for that changes no directory.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use memchr::memrchr;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{fstat, fstatfs};

use super::cache::Identity;
use super::open::Root;
use crate::handler::clock::Clock;
use crate::handler::server_info::ServerInfo;

/// So many files of one turn are checked by their names; the next ones are worth a descriptor.
const FEW: usize = 8;
/// Of more directories in one turn, the files are checked by their names.
const DIRECTORIES: usize = 32;
/// File systems of this machine that note every change in both times: ext2 to ext4, XFS, Btrfs, F2FS, ZFS, tmpfs and overlayfs
/// (statfs(2)). A remote one may know of a new file before it asks about the directory again.
const LOCAL: [u32; 7] = [
    0x0000_ef53,
    0x5846_5342,
    0x9123_683e,
    0xf2f5_2010,
    0x2fc1_2fc1,
    0x0102_1994,
    0x794c_7630,
];

/// How one file is checked.
#[derive(Debug)]
pub(crate) enum Check {
    Name,
    /// A descriptor would not do.
    NameAlone,
    Descriptor(Held),
}

/// A file that is checked without its name.
#[derive(Debug)]
pub(crate) struct Held {
    /// It stands for the file, and is not open for reading.
    descriptor: OwnedFd,
    /// What the directory was when the name led to the file.
    directory: Identity,
    /// The state of [`Mounts`] at that time.
    mounts: u64,
    /// One of those that are counted.
    _permit: Arc<()>,
}

impl Held {
    fn identity(&self) -> Option<Identity> {
        fstat(&self.descriptor).ok().as_ref().map(Identity::from)
    }
}

/// What is mounted where. It is opened before the process is confined, and serves all loops.
#[derive(Debug)]
pub(crate) struct Mounts {
    table: Option<File>,
    /// How many changes were seen.
    changes: AtomicU64,
}

impl Mounts {
    pub(crate) fn open() -> Self {
        Self {
            table: File::open("/proc/self/mountinfo").ok(),
            changes: AtomicU64::new(0),
        }
    }

    /// A number that another mount changes; `None` where the kernel does not tell.
    fn state(&self) -> Option<u64> {
        let mut table = [PollFd::new(self.table.as_ref()?, PollFlags::PRI)];
        // A change is told once (proc_pid_mountinfo(5)).
        if poll(&mut table, Some(&Timespec::default())) != Ok(0) {
            self.changes.fetch_add(1, Ordering::Relaxed);
        }
        Some(self.changes.load(Ordering::Relaxed))
    }
}

/// What all checks of a turn share.
#[derive(Debug)]
pub(crate) struct Checks {
    turn: u64,
    /// Files that were checked by their names in this turn.
    named: usize,
    /// The directories of this turn, the first `count`, and what they are: that is looked at when a second file is asked for.
    directories: Vec<(Vec<u8>, Option<Look>)>,
    count: usize,
    mounts: Arc<Mounts>,
    /// The state of these in this turn, once it was asked for.
    mounted: Option<u64>,
    /// The device of a local file system, as long as nothing is mounted.
    local: Option<(u64, u64)>,
    /// Shared by all that is held in this loop.
    permits: Arc<()>,
    /// Connections that have begun and not ended.
    connections: usize,
    /// How many descriptors these and the files may use together.
    room: usize,
}

/// What a name led to.
type Look = Option<Identity>;

fn look(path: &[u8], root: &Root) -> Look {
    root.stat_by_name(path).ok().as_ref().map(Identity::from)
}

impl Checks {
    pub(crate) fn new(mounts: Arc<Mounts>) -> Self {
        Self {
            turn: 0,
            named: 0,
            directories: Vec::new(),
            count: 0,
            mounts,
            mounted: None,
            local: None,
            permits: Arc::default(),
            connections: 0,
            room: 0,
        }
    }

    pub(crate) fn mounts(&self) -> Arc<Mounts> {
        Arc::clone(&self.mounts)
    }

    /// A connection begins; says whether it needs what is held.
    pub(crate) fn enter(&mut self) -> bool {
        self.connections += 1;
        self.held() + self.connections > self.room
    }

    /// A connection has ended; says whether it was the last: nothing is to be busy, nor kept from being freed, by a server
    /// that nobody talks to.
    pub(crate) fn leave(&mut self) -> bool {
        self.connections = self.connections.saturating_sub(1);
        self.connections == 0
    }

    /// Whether `path` leads to what was `identity` when it was checked last.
    pub(crate) fn is_true(
        &mut self,
        path: &[u8],
        identity: Identity,
        check: &mut Check,
        clock: &Clock,
        root: &Root,
        server: &ServerInfo,
    ) -> bool {
        if self.turn != clock.turn {
            (self.turn, self.named, self.count) = (clock.turn, 0, 0);
            self.mounted = None;
            self.room = server.descriptors;
            if !Arc::ptr_eq(&self.permits, &server.permits) {
                self.permits = Arc::clone(&server.permits);
            }
        }
        if let Check::Descriptor(held) = check
            && let Some(directory) = self.directory(path, root)
        {
            if directory == Some(held.directory) && self.mounted() == Some(held.mounts) {
                return held.identity() == Some(identity);
            }
            *check = Check::Name;
        }
        self.named += 1;
        let is_true = look(path, root) == Some(identity);
        if is_true
            && matches!(check, Check::Name)
            && self.named > FEW
            && self.held() < self.allowed(server)
            && let Some(settled) = self.hold(path, identity, clock, root)
        {
            *check = settled;
        }
        is_true
    }

    /// How many descriptors there are.
    pub(crate) fn held(&self) -> usize {
        // One permit is the server's, and one is here.
        Arc::strong_count(&self.permits).saturating_sub(2)
    }

    /// How many there may be: half of what connections leave, and none where nobody tells of connections, for then nothing
    /// would close them.
    fn allowed(&self, server: &ServerInfo) -> usize {
        if self.connections == 0 {
            return 0;
        }
        let left = self.room.saturating_sub(self.connections);
        server.config().check_descriptors.min(left / 2)
    }

    /// Returns how `path`, which leads to `identity`, is to be checked from now on: by descriptor, where one will do. `None`
    /// where that cannot be told yet: its directory has just changed, or is not looked at in this turn.
    fn hold(
        &mut self,
        path: &[u8],
        identity: Identity,
        clock: &Clock,
        root: &Root,
    ) -> Option<Check> {
        let directory = self.directory(path, root)??;
        let mounts = self.mounted()?;
        if !directory.is_settled(clock.since_1970) {
            return None;
        }
        // What has changed until now, this would show. A symbolic link is another file than what it leads to.
        let held = root.name(path).map(|descriptor| Held {
            descriptor,
            directory,
            mounts,
            _permit: Arc::clone(&self.permits),
        });
        Some(match held {
            Ok(held) if self.is_local(identity, &held) && held.identity() == Some(identity) => {
                Check::Descriptor(held)
            }
            _ => Check::NameAlone,
        })
    }

    fn is_local(&mut self, identity: Identity, held: &Held) -> bool {
        let device = Some((identity.device, held.mounts));
        if self.local != device
            && fstatfs(&held.descriptor).is_ok_and(|system| LOCAL.contains(&(system.f_type as u32)))
        {
            self.local = device;
        }
        self.local == device
    }

    /// The state of what is mounted, asked for once a turn.
    fn mounted(&mut self) -> Option<u64> {
        if self.mounted.is_none() {
            self.mounted = self.mounts.state();
        }
        self.mounted
    }

    /// What the directory of `path` is in this turn; `None` where that is not worth a look, or there are too many.
    fn directory(&mut self, path: &[u8], root: &Root) -> Option<Look> {
        let parent = path.get(..memrchr(b'/', path).unwrap_or(0))?;
        let mut known = self.directories.iter_mut().take(self.count);
        if let Some((_, seen)) = known.find(|(path, _)| path == parent) {
            return Some(*seen.get_or_insert_with(|| look(parent, root)));
        }
        if self.count < DIRECTORIES {
            match self.directories.get_mut(self.count) {
                // In the memory of earlier turns.
                Some((path, look)) => {
                    path.clear();
                    path.extend_from_slice(parent);
                    *look = None;
                }
                None => self.directories.push((parent.to_vec(), None)),
            }
            self.count += 1;
        }
        None
    }
}
