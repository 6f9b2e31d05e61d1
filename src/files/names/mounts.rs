//! The mounts that are known, so that the loop opens files only on file systems that do not make it wait.
//!
//! What file system a mount has is found out where waiting is allowed: when the server starts, and by a file thread. After anything
//! was mounted or unmounted, nothing is known.
//!
//! Invariant: nothing but [`Mounts::learn`] may wait for a file system.

use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{AtFlags, StatxFlags, fstatfs, makedev, statx};

/// Local file systems: all their changes are made by this kernel (statfs(2)). ext2 to ext4, XFS, Btrfs, F2FS, ZFS, bcachefs,
/// squashfs, EROFS.
const ON_DISK: [u32; 8] = [
    0x0000_ef53,
    0x5846_5342,
    0x9123_683e,
    0xf2f5_2010,
    0x2fc1_2fc1,
    0xca45_1a4e,
    0x7371_7368,
    0xe0f5_e1e2,
];
/// tmpfs and ramfs.
const IN_MEMORY: [u32; 2] = [0x0102_1994, 0x8584_58f6];
const OVERLAYFS: u32 = 0x794c_7630;

const WITHOUT_SYNC: AtFlags = AtFlags::EMPTY_PATH.union(AtFlags::STATX_DONT_SYNC);

/// What kind of file system a mount has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileSystem {
    Disk,
    Memory,
    Overlay,
    /// A file server, another program (FUSE), or a file system that is not known to be local.
    Other,
}

impl FileSystem {
    fn of_type(magic: u32) -> Self {
        match magic {
            OVERLAYFS => Self::Overlay,
            _ if ON_DISK.contains(&magic) => Self::Disk,
            _ if IN_MEMORY.contains(&magic) => Self::Memory,
            _ => Self::Other,
        }
    }

    /// Whether all changes are made by this kernel, and opening what is in memory does not wait.
    pub(crate) fn is_local(self) -> bool {
        self != Self::Other
    }
}

/// The mounts that one loop knows, shared with the jobs that it hands to file threads. By default nothing can be known, because
/// their changes are not reported.
#[derive(Debug, Default)]
pub(crate) struct Mounts(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// Whether changes of mounts are reported.
    are_reported: bool,
    /// Counts the changes of mounts.
    generation: u64,
    /// File systems by the number of their mount (`stx_mnt_id`).
    file_systems: Vec<(u64, FileSystem)>,
    /// Whether the served path leads to a local file system, by local ones only.
    is_root_local: Option<bool>,
}

/// A clone is for another loop, which counts the changes of mounts by itself.
impl Clone for Mounts {
    fn clone(&self) -> Self {
        let known = self.lock();
        Self(Arc::new(Mutex::new(Known {
            are_reported: known.are_reported,
            generation: 0,
            file_systems: known.file_systems.clone(),
            is_root_local: known.is_root_local,
        })))
    }
}

impl Mounts {
    pub(crate) fn that_are_reported() -> Self {
        Self(Arc::new(Mutex::new(Known {
            are_reported: true,
            ..Known::default()
        })))
    }

    /// Returns the same mounts, for a job.
    pub(crate) fn share(&self) -> Self {
        Self(Arc::clone(&self.0))
    }

    /// Forgets everything if anything was mounted or unmounted since the last call.
    pub(crate) fn forget_before(&self, generation: u64) {
        let mut known = self.lock();
        if known.generation != generation {
            *known = Known {
                are_reported: known.are_reported,
                generation,
                ..Known::default()
            };
        }
    }

    /// Returns the file system of `file`; `None` if it is not known, and if the kernel does not tell the mount.
    pub(crate) fn file_system(&self, file: impl AsFd) -> Option<FileSystem> {
        let mount = mount(file)?;
        let known = self.lock();
        let mut found = known.file_systems.iter();
        found
            .find(|(known, _)| *known == mount)
            .map(|(_, file_system)| *file_system)
    }

    /// Returns the file system of `file`. It may wait for the file system.
    pub(crate) fn learn(&self, file: impl AsFd) -> FileSystem {
        let generation = self.lock().generation;
        if let Some(known) = self.file_system(&file) {
            return known;
        }
        let magic = fstatfs(&file).map(|found| found.f_type as u32);
        let file_system = magic.map_or(FileSystem::Other, FileSystem::of_type);
        let mut known = self.lock();
        if known.accepts(generation)
            && let Some(mount) = mount(&file)
        {
            known.file_systems.push((mount, file_system));
        }
        file_system
    }

    /// Whether the loop may follow the served path.
    pub(crate) fn is_root_local(&self) -> bool {
        self.lock().is_root_local == Some(true)
    }

    /// Notes whether the served path leads to a local file system by local ones, unless mounts have changed since `generation`.
    pub(crate) fn note_root(&self, generation: u64, is_local: bool) {
        let mut known = self.lock();
        if known.accepts(generation) {
            known.is_root_local = Some(is_local);
        }
    }

    /// Whether it is known if the served path leads to a local file system.
    pub(crate) fn know_root(&self) -> bool {
        self.lock().is_root_local.is_some()
    }

    pub(crate) fn generation(&self) -> u64 {
        self.lock().generation
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Whether what was found out since `generation` is still true.
    fn accepts(&self, generation: u64) -> bool {
        self.are_reported && self.generation == generation
    }
}

/// Returns device, inode and mode of `file`, without asking the file system: they do not change while the file exists.
pub(crate) fn known_stat(file: impl AsFd) -> io::Result<((u64, u64), u32)> {
    let wanted = StatxFlags::TYPE | StatxFlags::INO;
    let found = statx(file, "", WITHOUT_SYNC, wanted)?;
    let device = makedev(found.stx_dev_major, found.stx_dev_minor);
    Ok(((device, found.stx_ino), found.stx_mode.into()))
}

/// Returns the number of the mount that `file` is on, without asking the file system.
fn mount(file: impl AsFd) -> Option<u64> {
    let found = statx(file, "", WITHOUT_SYNC, StatxFlags::MNT_ID).ok()?;
    StatxFlags::from_bits_retain(found.stx_mask)
        .contains(StatxFlags::MNT_ID)
        .then_some(found.stx_mnt_id)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::OwnedFd;

    use rustix::fs::{MemfdFlags, memfd_create};

    use super::*;

    /// A file on a tmpfs that every kernel has.
    fn in_memory() -> OwnedFd {
        memfd_create("file", MemfdFlags::CLOEXEC).unwrap()
    }

    fn not_local() -> File {
        File::open("/proc").unwrap()
    }

    #[test]
    fn what_is_learnt_is_known() {
        let mounts = Mounts::that_are_reported();
        assert_eq!(mounts.file_system(in_memory()), None);
        assert_eq!(mounts.learn(in_memory()), FileSystem::Memory);
        assert_eq!(mounts.file_system(in_memory()), Some(FileSystem::Memory));
        assert_eq!(mounts.file_system(not_local()), None);
        assert_eq!(mounts.learn(not_local()), FileSystem::Other);
        assert_eq!(mounts.file_system(not_local()), Some(FileSystem::Other));
        assert_eq!(mounts.file_system(in_memory()), Some(FileSystem::Memory));
        assert!(FileSystem::Memory.is_local() && !FileSystem::Other.is_local());
    }

    #[test]
    fn nothing_is_known_after_a_change_of_mounts() {
        let mounts = Mounts::that_are_reported();
        mounts.learn(in_memory());
        mounts.note_root(mounts.generation(), true);
        assert!(mounts.is_root_local() && mounts.know_root());
        mounts.forget_before(0);
        assert!(mounts.is_root_local(), "nothing has changed");
        mounts.forget_before(1);
        assert_eq!(mounts.file_system(in_memory()), None);
        assert!(!mounts.is_root_local() && !mounts.know_root());
        // What was found out before the change is too old.
        mounts.note_root(0, true);
        assert!(!mounts.know_root());
        mounts.learn(in_memory());
        mounts.note_root(1, false);
        assert!(mounts.know_root() && !mounts.is_root_local());
        assert_eq!(mounts.file_system(in_memory()), Some(FileSystem::Memory));
    }

    #[test]
    fn nothing_is_recorded_where_changes_are_not_reported() {
        let mounts = Mounts::default();
        assert_eq!(mounts.learn(in_memory()), FileSystem::Memory);
        assert_eq!(mounts.learn(not_local()), FileSystem::Other);
        mounts.note_root(mounts.generation(), true);
        assert_eq!(mounts.file_system(in_memory()), None);
        assert!(!mounts.know_root() && !mounts.is_root_local());
    }

    #[test]
    fn a_clone_goes_its_own_way_and_a_shared_one_does_not() {
        let mounts = Mounts::that_are_reported();
        mounts.forget_before(7);
        mounts.learn(in_memory());
        mounts.note_root(7, true);
        let (clone, shared) = (mounts.clone(), mounts.share());
        // The clone counts the changes that its own loop sees.
        assert_eq!((clone.generation(), shared.generation()), (0, 7));
        for known in [&clone, &shared] {
            assert_eq!(known.file_system(in_memory()), Some(FileSystem::Memory));
            assert!(known.is_root_local());
        }
        clone.learn(not_local());
        assert_eq!(mounts.file_system(not_local()), None);
        shared.learn(not_local());
        assert_eq!(mounts.file_system(not_local()), Some(FileSystem::Other));
        clone.forget_before(1);
        assert!(mounts.is_root_local());
        shared.forget_before(8);
        assert!(!mounts.is_root_local());
    }

    #[test]
    fn a_stat_that_asks_no_file_system_finds_the_file() {
        let file = in_memory();
        let stat = rustix::fs::fstat(&file).unwrap();
        let expected = ((stat.st_dev, stat.st_ino), stat.st_mode);
        assert_eq!(known_stat(&file).unwrap(), expected);
    }
}
