//! Operations on files that the standard library does not have.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags, linkat, renameat_with};

/// Exchanges two names in one step.
pub(crate) fn exchange(one: &Path, other: &Path) {
    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).unwrap();
}

/// Makes a file without a name in the file system of `directory`; `None` where that file system cannot.
pub(crate) fn unnamed_file(directory: &Path, content: &[u8]) -> Option<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR;
    let file = rustix::fs::open(directory, flags, Mode::from_raw_mode(0o644)).ok()?;
    let file = File::from(file);
    file.write_all_at(content, 0).unwrap();
    Some(file)
}

/// Gives an open file a name.
pub(crate) fn give_name(file: &File, path: &Path) {
    linkat(CWD, by_descriptor(file), CWD, path, AtFlags::SYMLINK_FOLLOW).unwrap();
}

/// The path of an open file by its descriptor.
pub(crate) fn by_descriptor(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}
