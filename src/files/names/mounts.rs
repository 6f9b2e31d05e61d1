//! The mounts of this process and their file systems, so that the loop opens files only where that does not make it wait.
//!
//! Invariant: nothing but [`FileSystem::ask`] may wait for a file system. The kernel knows the table of mounts, and the mount, device
//! and inode of an open file, without asking.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use rustix::fs::{AtFlags, StatxFlags, fstatfs, makedev, statx};

/// Local file systems: all their changes are made by this kernel.
const ON_DISK: [&str; 10] = [
    "ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "bcachefs", "squashfs", "erofs",
];
/// The same by their numbers (statfs(2)); ext2 to ext4 have one.
const ON_DISK_NUMBERS: [u32; 8] = [
    0x0000_ef53,
    0x5846_5342,
    0x9123_683e,
    0xf2f5_2010,
    0x2fc1_2fc1,
    0xca45_1a4e,
    0x7371_7368,
    0xe0f5_e1e2,
];
const TMPFS: u32 = 0x0102_1994;
const RAMFS: u32 = 0x8584_58f6;
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
    fn of_name(name: &str) -> Self {
        match name {
            "tmpfs" | "devtmpfs" | "ramfs" | "rootfs" => Self::Memory,
            "overlay" => Self::Overlay,
            _ if ON_DISK.contains(&name) => Self::Disk,
            _ => Self::Other,
        }
    }

    /// Asks for the file system of `file`, which may wait for it.
    pub(crate) fn ask(file: impl AsFd) -> Self {
        match fstatfs(file).map(|found| found.f_type as u32) {
            Ok(TMPFS | RAMFS) => Self::Memory,
            Ok(OVERLAYFS) => Self::Overlay,
            Ok(number) if ON_DISK_NUMBERS.contains(&number) => Self::Disk,
            _ => Self::Other,
        }
    }

    /// Whether it counts as local: this kernel makes all changes, and opening what is in memory does not wait. An overlay counts as
    /// local, although its layers may be on a file server.
    pub(crate) fn is_local(self) -> bool {
        self != Self::Other
    }
}

/// The mounts at one time: their file systems by their numbers. Without any, no file system is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mounts(Arc<HashMap<u64, FileSystem>>);

impl Mounts {
    /// Reads the table of mounts (proc_pid_mountinfo(5)).
    ///
    /// # Errors
    /// The table cannot be read.
    pub(crate) fn read(mountinfo: &File) -> io::Result<Self> {
        let (mut table, mut room) = (Vec::new(), [0; 4096]);
        loop {
            match mountinfo.read_at(&mut room, table.len() as u64)? {
                0 => break,
                length => table.extend_from_slice(room.get(..length).unwrap_or_default()),
            }
        }
        let table = String::from_utf8_lossy(&table);
        let mounts = table.lines().filter_map(parse_mount);
        Ok(Self(Arc::new(mounts.collect())))
    }

    /// Returns the file system of `file`; `None` if its mount is not in the table: it is new, or outside of the root directory of this
    /// process (chroot).
    pub(crate) fn file_system(&self, file: impl AsFd) -> Option<FileSystem> {
        let found = statx(file, "", WITHOUT_SYNC, StatxFlags::MNT_ID).ok()?;
        let has_mount = StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::MNT_ID);
        let mount = has_mount.then_some(found.stx_mnt_id)?;
        self.0.get(&mount).copied()
    }

    pub(crate) fn is_local(&self, file: impl AsFd) -> bool {
        self.file_system(file).is_some_and(FileSystem::is_local)
    }
}

/// Returns the number of a mount and its file system, from a line such as `36 35 98:0 / /mnt rw,noatime shared:1 - ext3 /dev/root rw`.
fn parse_mount(line: &str) -> Option<(u64, FileSystem)> {
    let (mount, file_system) = line.split_once(" - ")?;
    let (number, _) = mount.split_once(' ')?;
    let (name, _) = file_system.split_once(' ')?;
    Some((number.parse().ok()?, FileSystem::of_name(name)))
}

/// Returns device, inode and mode of `file`, without asking the file system: they do not change while the file exists.
pub(crate) fn known_stat(file: impl AsFd) -> io::Result<((u64, u64), u32)> {
    let wanted = StatxFlags::TYPE | StatxFlags::INO;
    let found = statx(file, "", WITHOUT_SYNC, wanted)?;
    let device = makedev(found.stx_dev_major, found.stx_dev_minor);
    Ok(((device, found.stx_ino), found.stx_mode.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_the_mount_and_its_file_system() {
        let table = [
            (
                "36 35 98:0 /a /mnt rw shared:1 - ext3 /dev/root rw",
                Some((36, FileSystem::Disk)),
            ),
            (
                "1 0 0:5 / /a\\040-\\040b rw - tmpfs x rw",
                Some((1, FileSystem::Memory)),
            ),
            (
                "7 1 0:9 / / rw - overlay overlay rw",
                Some((7, FileSystem::Overlay)),
            ),
            (
                "8 1 0:9 / / rw - fuse.sshfs host: rw",
                Some((8, FileSystem::Other)),
            ),
            (
                "9 1 0:9 / / rw - nfs4 host:/ rw",
                Some((9, FileSystem::Other)),
            ),
            ("", None),
            ("x 1 0:9 / / rw - ext4 /dev/a rw", None),
        ];
        for (line, expected) in table {
            assert_eq!(parse_mount(line), expected, "{line}");
        }
    }

    #[test]
    fn the_table_and_the_file_system_itself_agree() {
        let mounts = Mounts::read(&File::open("/proc/self/mountinfo").unwrap()).unwrap();
        for path in ["/", "/proc", "/dev", "/sys"] {
            let file = File::open(path).unwrap();
            let known = mounts.file_system(&file);
            assert!(
                known.is_none_or(|known| known == FileSystem::ask(&file)),
                "{path}"
            );
        }
        assert_eq!(
            Mounts::default().file_system(File::open("/").unwrap()),
            None
        );
    }
}
