//! All directories and symbolic links that a path leads through.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, openat, openat2, readlinkat};
use rustix::io::Errno;

use super::mounts::{Mounts, known_stat};

/// The most symbolic links on the way to a file; the kernel has the same limit (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// One directory or symbolic link on the way, opened with O_PATH.
#[derive(Debug)]
pub(crate) struct PathStep {
    fd: OwnedFd,
    /// Device and inode.
    id: (u64, u64),
    is_symlink: bool,
    /// The index of the step in which it was found, and its name there; `None` where the way begins.
    pub(crate) found: Option<(usize, Vec<u8>)>,
}

impl PathStep {
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        let (id, mode) = known_stat(&fd)?;
        Ok(Self {
            fd,
            id,
            is_symlink: FileType::from_raw_mode(mode) == FileType::Symlink,
            found: None,
        })
    }

    /// Returns device and inode.
    pub(crate) fn id(&self) -> (u64, u64) {
        self.id
    }
}

impl AsFd for PathStep {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Adds every step of `path` to `steps`. The path begins at the step with index `at`, which must exist. Returns the index of the
/// step that the path leads to. Symbolic links are an error unless they are `followed`. With `mounts`, a step is an error if its
/// name is not in memory, or if it is not on one of the mounts that are known to be local.
pub(crate) fn walk(
    steps: &mut Vec<PathStep>,
    mut at: usize,
    path: &[u8],
    followed: bool,
    mounts: Option<&Mounts>,
) -> io::Result<usize> {
    let mut links = 0;
    let mut names = split(path);
    while let Some(name) = names.pop_front() {
        let mut step = PathStep::new(open_step(&steps[at].fd, &name, mounts)?)?;
        step.found = Some((at, name));
        if !step.is_symlink {
            at = steps.len();
            steps.push(step);
            continue;
        }
        links += 1;
        if !followed || links > MAX_LINKS {
            return Err(Errno::LOOP.into());
        }
        let target = readlinkat(&step.fd, "", Vec::new())?.into_bytes();
        steps.push(step);
        if target.starts_with(b"/") {
            at = steps.len();
            steps.push(PathStep::new(open_root()?)?);
        }
        for name in split(&target).into_iter().rev() {
            names.push_front(name);
        }
    }
    Ok(at)
}

fn open_step(directory: &OwnedFd, name: &[u8], mounts: Option<&Mounts>) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Some(mounts) = mounts else {
        return Ok(openat(directory, name, flags, Mode::empty())?);
    };
    let fd = openat2(directory, name, flags, Mode::empty(), ResolveFlags::CACHED)?;
    if !mounts.is_local(&fd) {
        return Err(Errno::AGAIN.into());
    }
    Ok(fd)
}

/// Opens the root directory of the process.
pub(crate) fn open_root() -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(openat(CWD, "/", flags, Mode::empty())?)
}

fn split(path: &[u8]) -> VecDeque<Vec<u8>> {
    path.split(|byte| *byte == b'/')
        .filter(|name| !matches!(*name, b"" | b"."))
        .map(<[u8]>::to_vec)
        .collect()
}
