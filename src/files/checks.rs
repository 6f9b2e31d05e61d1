//! Whether a file that is kept is still what it was: by its name, or, where many are asked for, by a descriptor.
//!
//! A directory's times change with every name in it. So while one is the same, to the nanosecond, its names lead to the same
//! files, and whether one of these has changed, its own descriptor tells: for a third of what a walk along its path costs.
//! Each directory is looked at once a turn, by its name.
//!
//! What this does not see is a file that is mounted over another one, until a name beside it changes.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use memchr::memrchr;
use rustix::fs::{fstat, fstatfs};

use super::cache::Identity;
use super::open::Root;
use crate::handler::clock::Clock;

/// So many files of one turn are checked by their names; the next ones are worth a descriptor.
const FEW: usize = 8;
/// Of more directories in one turn, the files are checked by their names.
const DIRECTORIES: usize = 16;
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
    /// One of those that are counted.
    _permit: Arc<()>,
}

impl Held {
    fn identity(&self) -> Option<Identity> {
        fstat(&self.descriptor).ok().as_ref().map(Identity::from)
    }
}

/// What all checks of a turn share.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    turn: u64,
    /// Files that were checked by their names in this turn.
    named: usize,
    /// Directories with what they are, the first `looked_at` of them in this turn.
    directories: Vec<(Vec<u8>, Option<Identity>)>,
    looked_at: usize,
    /// The device of a local file system.
    local: Option<u64>,
    /// Shared by all that is held.
    permits: Arc<()>,
}

impl Checks {
    /// Whether `path` leads to what was `identity` when it was checked last; at most `descriptors` are held for this.
    pub(crate) fn is_true(
        &mut self,
        path: &[u8],
        identity: Identity,
        check: &mut Check,
        clock: &Clock,
        root: &Root,
        descriptors: usize,
    ) -> bool {
        if self.turn != clock.turn {
            (self.turn, self.named, self.looked_at) = (clock.turn, 0, 0);
        }
        if let Check::Descriptor(held) = check {
            if self.directory(path, root) == Some(held.directory) {
                return held.identity() == Some(identity);
            }
            *check = Check::Name;
        }
        self.named += 1;
        let is_true = root
            .stat_by_name(path)
            .is_ok_and(|stat| Identity::from(&stat) == identity);
        let wanted = matches!(check, Check::Name) && self.named > FEW;
        if is_true && wanted && self.held() < descriptors {
            self.hold(path, identity, check, clock, root);
        }
        is_true
    }

    /// How many descriptors there are.
    pub(crate) fn held(&self) -> usize {
        Arc::strong_count(&self.permits) - 1
    }

    /// Has `path`, which leads to `identity`, checked by descriptor from now on, if its directory has not just changed.
    fn hold(
        &mut self,
        path: &[u8],
        identity: Identity,
        check: &mut Check,
        clock: &Clock,
        root: &Root,
    ) {
        let Some(directory) = self
            .directory(path, root)
            .filter(|directory| directory.is_settled(clock.since_1970))
        else {
            return;
        };
        // A symbolic link is another file than what it leads to.
        let held = root.name(path).map(|descriptor| Held {
            descriptor,
            directory,
            _permit: Arc::clone(&self.permits),
        });
        *check = match held {
            Ok(held) if self.is_local(identity, &held) && held.identity() == Some(identity) => {
                Check::Descriptor(held)
            }
            _ => Check::NameAlone,
        };
    }

    fn is_local(&mut self, identity: Identity, held: &Held) -> bool {
        if self.local != Some(identity.device)
            && fstatfs(&held.descriptor).is_ok_and(|system| LOCAL.contains(&(system.f_type as u32)))
        {
            self.local = Some(identity.device);
        }
        self.local == Some(identity.device)
    }

    /// What the directory of `path` is in this turn.
    fn directory(&mut self, path: &[u8], root: &Root) -> Option<Identity> {
        let parent = path.get(..memrchr(b'/', path).unwrap_or(0))?;
        let mut known = self.directories.iter().take(self.looked_at);
        if let Some((_, identity)) = known.find(|(path, _)| path == parent) {
            return *identity;
        } else if self.looked_at == DIRECTORIES {
            return None;
        }
        let identity = root.stat_by_name(parent).ok().as_ref().map(Identity::from);
        match self.directories.get_mut(self.looked_at) {
            // In the memory of earlier turns.
            Some((path, known)) => {
                path.clear();
                path.extend_from_slice(parent);
                *known = identity;
            }
            None => self.directories.push((parent.to_vec(), identity)),
        }
        self.looked_at += 1;
        identity
    }
}
